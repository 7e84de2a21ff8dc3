"""What does a worker do with one track's stems? Stream the track through once, and write a file a component.

Unlike a unit, a track is one task however long it is: a file is written from its first sample to its last. The files
take their names when all of them are whole and on disk; then the track's record is created, and it is done.

A track that cannot be read, or that the format cannot hold, fails alone, with its reason in the record. What cannot
be written (a full disk) is not the fault of the track: the task raises, and the run tries it again.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from hpss_batch.audio.mixdown import cancel
from hpss_batch.audio.recording import Recording
from hpss_batch.audio.speakers.layouts import Arrangement
from hpss_batch.errors import AudioError, UnreachableError
from hpss_batch.stems.spec import StemRecipe, StemTask
from hpss_batch.stems.stream import Block, Stream
from hpss_batch.stems.two_pass import TwoPass
from hpss_batch.stems.writer import StemFile, tags_of
from hpss_batch.store.layout import Placed
from hpss_batch.store.records import keep, kept, versions
from hpss_batch.store.stem_records import Stem, StemRecord
from hpss_batch.store.storage import open_folder
from hpss_batch.tasks.clock import Clock
from hpss_batch.tasks.sources import open_recording
from hpss_batch.tasks.unit import reason, said_unreachable, why_unreachable, worker_address

READING = "read and separate"


def run_stems(recipe: StemRecipe, task: StemTask, last_try: bool = True) -> StemRecord:
    """Render a track and write down what became of it, unless another driver's worker was first: then, its record.

    A file that cannot be reached from here is for another worker to try (`UnreachableError`), but for the last try.
    """
    there = kept(open_folder(recipe.url), task.name(recipe.key), StemRecord, task.layout)
    if there is not None:
        return there
    try:
        record = render(recipe, task)
    except _TrackFailed as failure:
        away = said_unreachable(failure.error) or why_unreachable(task.track)
        if away and not last_try:
            raise UnreachableError(f"{task.track.id} {away}", worker_address()) from failure
        record = task.record("failed", away or failure.reason, retry=away is not None)
    return commit(recipe, replace(record, contents=task.track.contents(0, task.track.source_size)))


def commit(recipe: StemRecipe, record: StemRecord) -> StemRecord:
    """Create a record, unless it is there already; returns that which is."""
    return keep(open_folder(recipe.url), record.name(recipe.key), record)


class _TrackFailed(Exception):
    """A track cannot be rendered; the reason is its own, and not the disk's."""

    def __init__(self, error: Exception) -> None:
        self.error, self.reason = error, reason(error)


def render(recipe: StemRecipe, task: StemTask) -> StemRecord:
    """Render a track's audio to files, which have their names when this returns."""
    try:
        recording, recipe = _opened(recipe, task.track)
    except MemoryError:
        raise
    except Exception as error:
        raise _TrackFailed(error) from error
    with recording:
        rate, wanted = recording.sample_rate, (recipe.components, recipe.encoding)
        first, second = (recipe.stft, recipe.separation(rate)), recipe.second_pass(rate)
        stream = TwoPass(recording, first, second, *wanted) if second else Stream(recording, *first, *wanted)
        blocks = _blamed(stream, task.track)
        rate, channels = recording.sample_rate, recording.channels
        arrangement = recipe.encoding.arrangement(channels, recording.info.layout)
        record = write_stems(recipe, task, rate, channels, arrangement, blocks)
        return replace(record, cancels=cancel(recording.energies))


def _opened(recipe: StemRecipe, track: Placed) -> tuple[Recording, StemRecipe]:
    """A track's recording, and the recipe with the encoding for it."""
    recording = open_recording(track, recipe.sample_rate, recipe.channels)
    encoding = recipe.encoding.like(recording.info.format)
    refusal = encoding.refusal(
        recording.sample_rate, recording.channels, recording.bound, recording.info.layout
    )
    if refusal is not None:
        recording.close()
        raise AudioError(refusal)
    return recording, replace(recipe, encoding=encoding)


def _blamed(stream: Stream, track: Placed) -> Iterator[Block]:
    """The stream's blocks; whatever goes wrong in them is the track's fault."""
    blocks = iter(stream)
    while True:
        try:
            block = next(blocks, None)
            if block is None:
                track.check_file()
                return
        except MemoryError:
            raise
        except Exception as error:
            raise _TrackFailed(error) from error
        yield block


def write_stems(
    recipe: StemRecipe,
    task: StemTask,
    sample_rate: int,
    channels: int,
    arrangement: Arrangement,
    blocks: Iterable[Block],
) -> StemRecord:
    """Write blocks to a file a component; when this returns, all are whole, on disk, and have their names.

    Parameters
    ----------
    recipe, task
        How, and for whom.
    sample_rate, channels : int
        Hz of the blocks; how many channels they have.
    arrangement : Arrangement
        Which of these a file has where.
    blocks : iterable of Block
        From the first sample to the last. Where there is none, no file is made.

    Returns
    -------
    StemRecord
        What to write down.
    """
    files = dict[str, StemFile]()
    clipped, peaks = dict.fromkeys(recipe.components, 0), dict.fromkeys(recipe.components, 0.0)
    n_samples, clock = 0, Clock(READING, "write")
    try:
        clock.step(READING)
        for block in blocks:
            clock.step("write")
            # only now: the first block could be read, so there is something to write
            files = files or _opened_files(recipe, task, sample_rate, channels, arrangement)
            for component, samples in block.samples.items():
                files[component].write(samples)
                clipped[component] += block.clipped[component]
                peaks[component] = max(peaks[component], block.peaks[component])
            n_samples += block.n_samples
            clock.step(READING)
        clock.step("write")
        facts = {component: file.finish() for component, file in files.items()}
        for file in files.values():
            file.place()
        clock.step(None)
    finally:
        for file in files.values():
            file.abandon()
    return StemRecord(
        row=task.row,
        track=task.track.id,
        status="done",
        attempt=task.attempt,
        n_samples=n_samples,
        sample_rate=sample_rate,
        channels=channels,
        stems={
            name: Stem(found.name, found.n_bytes, found.crc32c, clipped[name], round(peaks[name], 6))
            for name, found in facts.items()
        },
        versions=versions(ffmpeg=task.track.decoder == "ffmpeg"),
        seconds=clock.seconds,
        layout=task.layout,
    )


def _opened_files(
    recipe: StemRecipe, task: StemTask, sample_rate: int, channels: int, arrangement: Arrangement
) -> dict[str, StemFile]:
    tags = tags_of(task.track)
    files = dict[str, StemFile]()
    try:
        for component in recipe.components:
            name = recipe.pattern.name(task.stem, component)
            files[component] = StemFile(
                recipe.url, name, sample_rate, channels, recipe.encoding, arrangement, tags
            )
    except BaseException:
        for file in files.values():
            file.abandon()
        raise
    return files
