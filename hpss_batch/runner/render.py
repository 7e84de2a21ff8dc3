"""How are stems of a few tracks made later, from a run directory?

From the audio, with the settings that its job had: the same files, bit for bit, that `run --stems` would have made, at
the source's own rate and channels. Where the audio is gone or has changed, from what the store holds (a spectrogram
and masks, or components): then at the store's rate and channels, each stem rounded on its own.

It happens here, one track after the other, with no cluster. What is rendered is written down like a run's stems, so
that a run that wants the same ones finds them done.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import numpy as np

from hpss_batch.config.document import Override
from hpss_batch.config.job import Job
from hpss_batch.runner.plan import plan_of_run
from hpss_batch.stems.plan import check_names, names_of, stem_plan, task_of
from hpss_batch.stems.spec import StemRecipe, StemTask
from hpss_batch.stems.stream import Block
from hpss_batch.stems.task import commit, run_stems, write_stems
from hpss_batch.stems.writer import measure
from hpss_batch.store.catalog import Catalog, no_track
from hpss_batch.store.directory import RunDirectory
from hpss_batch.store.presence import at_work
from hpss_batch.store.reading.corpus import Corpus, open_corpus
from hpss_batch.store.stem_records import StemRecord

Say = Callable[[str], None]

_BLOCK_SECONDS = 3
"""Audio that is taken from the store at a time."""


def render(
    path: str | os.PathLike[str],
    tracks: str | Iterable[str],
    overrides: Iterable[Override] = (),
    *,
    say: Say = lambda text: None,
) -> dict[str, StemRecord]:
    """Render tracks of a run directory.

    Parameters
    ----------
    path : path or URL
        The run directory.
    tracks : str or iterable of str
        Ids of tracks.
    overrides : iterable
        Settings of `output.stems`, as `Job.load` takes them: "output.stems.format=wav".
    say : callable
        Called with what is worth knowing, in words.

    Returns
    -------
    dict of str to StemRecord
        What became of each track.

    Raises
    ------
    StoreError, TrackError, ConfigError
        If there is no run directory, no such track, or no such setting; nothing is written then.
    """
    directory = RunDirectory(path)
    url = directory.url
    recorded = plan_of_run(directory)
    job = recorded.job if recorded.job.output.stems else recorded.job.replace({"output.stems": True})
    job = Job.parse(job.to_yaml(), overrides, name=f"{url}/job.yaml")
    catalog = recorded.catalog.with_stems(directory.stem_records(job.stems_key))
    job.check_same(catalog.settings["numerics"])
    plan = stem_plan(job, catalog, retry_failed=True)
    assert plan is not None, "the job wants stems"
    rows = {
        track: _row(catalog, track, url)
        for track in dict.fromkeys([tracks] if isinstance(tracks, str) else tracks)
    }
    check_names(job, directory)
    directory.declare_stems(job.stem_settings())
    names = names_of(catalog, plan.recipe.pattern)
    with at_work(directory.folder):
        made = {
            track: _render(catalog, plan.recipe, task_of(catalog, names, row), say)
            for track, row in rows.items()
        }
    directory.note_timings({record.name(plan.recipe.key): record.seconds for record in made.values()})
    return made


def _row(catalog: Catalog, track: str, url: str) -> int:
    if track not in catalog.current:
        raise no_track(url, track, catalog.current)
    return catalog.current[track]


def _render(catalog: Catalog, recipe: StemRecipe, task: StemTask, say: Say) -> StemRecord:
    record, track = catalog.stems.get(task.row), task.track
    if record is not None and record.status == "done" and _is_there(recipe.url, record):
        say(f"{track.id}: rendered before")
        return record
    if track.error is not None:
        return task.record("failed", track.error)
    made = run_stems(recipe, task)
    if made.status == "done" or recipe.second or not _has_components(catalog, task.row):
        return made  # a second pass needs the audio
    say(f"{track.id}: {made.error}; rendered from the store, at its rate and channels")
    again = replace(task, attempt=task.attempt + 1)
    return commit(recipe, from_store(open_corpus(recipe.url), recipe, again))


def _is_there(url: str, record: StemRecord) -> bool:
    """Whether a record's files are still what was written."""
    return all(measure(url, stem.name) == (stem.n_bytes, stem.crc32c) for stem in record.stems.values())


def _has_components(catalog: Catalog, row: int) -> bool:
    arrays = set(catalog.settings["numerics"]["output"]["arrays"])
    follows = "spectrogram" in arrays and not arrays.isdisjoint(("harmonic_mask", "percussive_mask"))
    return catalog.states[row].status == "done" and (
        follows or not arrays.isdisjoint(("harmonic", "percussive"))
    )


def from_store(corpus: Corpus, recipe: StemRecipe, task: StemTask) -> StemRecord:
    """Render a track from what is stored of it, in blocks."""
    view, rate = corpus[task.track.id], corpus.sample_rate
    n_samples, channels = int(view.attrs["n_samples"]), view.sizes["channel"]
    missing = [name for name in recipe.components if name not in view]
    refusal = recipe.encoding.refusal(rate, channels, n_samples, task.track.layout)
    if missing:
        return task.record("failed", f"the store does not say what its {', '.join(missing)} component is")
    if refusal is not None:
        return task.record("failed", f"as stored, {refusal}")
    arrangement = recipe.encoding.arrangement(channels, task.track.layout)
    blocks = _stored_blocks(corpus, recipe, task.track.id, n_samples)
    return write_stems(recipe, task, rate, channels, arrangement, blocks)


def _stored_blocks(corpus: Corpus, recipe: StemRecipe, track: str, n_samples: int) -> Iterator[Block]:
    encoding, size = recipe.encoding, _BLOCK_SECONDS * corpus.sample_rate
    for start in range(0, n_samples, size):
        found = corpus.stems(track, start, min(start + size, n_samples))
        block = Block({}, {}, {})
        for component in recipe.components:
            samples = found[component].values
            steps = encoding.steps(samples, np.empty(samples.shape, encoding.step_dtype))
            block.clipped[component], block.peaks[component] = encoding.clip(steps)
            block.samples[component] = np.empty(steps.T.shape, encoding.file_dtype)
            encoding.coded(steps.T, block.samples[component])
        yield block
