"""What does a worker do with one track's stems? Stream the track through once, and write a file a component.

Unlike a unit, a track is one task however long it is: a file is written from its first sample to its last. The files
take their names when all of them are whole and on disk; then the track's record is created, and it is done.

A track that cannot be read, or that the format cannot hold, fails alone, with its reason in the record. What cannot
be written (a full disk) is no fault of the track: the task raises, and the run tries it again.
"""

import os
from collections.abc import Iterator, Mapping
from time import perf_counter
from typing import Any

from hpss_batch.corpus.audio import Recording
from hpss_batch.corpus.folder import open_folder
from hpss_batch.corpus.layout import Placed
from hpss_batch.corpus.stemfile import StemFile, tags_of
from hpss_batch.corpus.stemrecords import Stem, StemRecord
from hpss_batch.errors import AudioError
from hpss_batch.job.recipe import StemRecipe, StemTask
from hpss_batch.job.stream import Block, Stream
from hpss_batch.job.tasks import reason
from hpss_batch.job.versions import versions


def run_stems(recipe: StemRecipe, task: StemTask) -> StemRecord:
    """Render a track and write down what became of it; if another driver's worker was first, its record is returned."""
    try:
        record = render(recipe, task)
    except _TrackFailed as failure:
        record = task.record("failed", failure.reason)
    return commit(recipe, record)


def commit(recipe: StemRecipe, record: StemRecord) -> StemRecord:
    """Create a record, unless it is there already; returns that which is."""
    folder, name = open_folder(recipe.url), record.name(recipe.key)
    if folder.create(name, record.encode()):
        return record
    return StemRecord.decode(folder.read(name) or b"", name)


class _TrackFailed(Exception):
    """A track cannot be rendered; the reason is its own, and not the disk's."""

    def __init__(self, error: Exception) -> None:
        self.reason = reason(error)


def render(recipe: StemRecipe, task: StemTask) -> StemRecord:
    """Render a track to files, which have their names when this returns."""
    try:
        recording = _opened(recipe, task.track)
    except MemoryError:
        raise
    except Exception as error:
        raise _TrackFailed(error) from error
    with recording:
        return _Rendering(recipe, task, recording).run()


def _opened(recipe: StemRecipe, track: Placed) -> Recording:
    _check_unchanged(track)
    recording = Recording(track.path, sample_rate=recipe.sample_rate, channels=recipe.channels)
    refusal = recipe.encoding.refusal(recording.sample_rate, recording.channels, recording.bound)
    if refusal is not None:
        recording.close()
        raise AudioError(refusal)
    return recording


def _check_unchanged(track: Placed) -> None:
    found = os.stat(track.path)
    if (found.st_size, found.st_mtime_ns) != (track.source_size, track.source_mtime):
        raise AudioError("changed after it was listed; run again to list it anew")


class _Rendering:
    """A track on its way into files."""

    def __init__(self, recipe: StemRecipe, task: StemTask, recording: Recording) -> None:
        self.recipe, self.task, self.recording = recipe, task, recording
        self.files = dict[str, StemFile]()
        self.clipped = dict.fromkeys(recipe.components, 0)
        self.peaks = dict.fromkeys(recipe.components, 0.0)
        self.seconds = dict.fromkeys(("read and separate", "write"), 0.0)

    def run(self) -> StemRecord:
        """Render all of it."""
        stream = Stream(
            self.recording, self.recipe.stft, self.recipe.hpss, self.recipe.components, self.recipe.encoding
        )
        try:
            for block in self._blocks(stream):
                self._write(block)
            return self._finished(stream.n_samples or 0)
        finally:
            for file in self.files.values():
                file.abandon()

    def _blocks(self, stream: Stream) -> Iterator[Block]:
        """The stream's blocks; whatever goes wrong in them is the track's fault."""
        blocks = iter(stream)
        while True:
            started = perf_counter()
            try:
                block = next(blocks, None)
                if block is None:
                    _check_unchanged(self.task.track)
                    return
            except MemoryError:
                raise
            except Exception as error:
                raise _TrackFailed(error) from error
            self.seconds["read and separate"] += perf_counter() - started
            yield block

    def _write(self, block: Block) -> None:
        started = perf_counter()
        if not self.files:  # the first block was read, so there is something to write
            self._open()
        for component, samples in block.samples.items():
            self.files[component].write(samples)
            self.clipped[component] += block.clipped[component]
            self.peaks[component] = max(self.peaks[component], block.peaks[component])
        self.seconds["write"] += perf_counter() - started

    def _open(self) -> None:
        recipe, tags = self.recipe, tags_of(self.task.track.path)
        for component in recipe.components:
            name = recipe.pattern.name(self.task.stem, component)
            self.files[component] = StemFile(
                recipe.url, name, self.recording.sample_rate, self.recording.channels, recipe.encoding, tags
            )

    def _finished(self, n_samples: int) -> StemRecord:
        started = perf_counter()
        facts = {component: file.finish() for component, file in self.files.items()}
        for file in self.files.values():
            file.place()
        self.seconds["write"] += perf_counter() - started
        stems: Mapping[str, Stem] = {
            component: Stem(
                found.name,
                found.n_bytes,
                found.crc32c,
                self.clipped[component],
                round(self.peaks[component], 6),
            )
            for component, found in facts.items()
        }
        took: dict[str, Any] = {step: round(value, 3) for step, value in self.seconds.items()}
        rate, channels = self.recording.sample_rate, self.recording.channels
        return StemRecord(
            row=self.task.row,
            track=self.task.track.id,
            status="done",
            attempt=self.task.attempt,
            n_samples=n_samples,
            sample_rate=rate,
            channels=channels,
            stems=stems,
            versions=versions(),
            seconds=took,
        )
