"""How does a person get at what a run would make of a corpus, without running it? As from a run directory.

`open_corpus("music/", job)` lists and probes the corpus, which is all that it does: what `corpus[id]` holds is computed
from the audio, span by span, as it is read (see `frames`).
"""

import os
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray.core.indexing import LazilyIndexedArray

from hpss_batch.config.job import Job
from hpss_batch.errors import AudioError, TrackError, UnreachableError
from hpss_batch.products.computed.frames import ComputedReader, Frames, LazyAxis, LazyFrames, open_readers
from hpss_batch.runner.plan import Plan, check_features
from hpss_batch.runner.survey import survey
from hpss_batch.store.arrays.group import attributes_of, group_attributes
from hpss_batch.store.arrays.schema import AXES
from hpss_batch.store.arrays.track_table import track_variables
from hpss_batch.store.catalog import Catalog
from hpss_batch.store.layout import CHUNK_FRAMES, Placed, end_of
from hpss_batch.store.reading.corpus import Corpus
from hpss_batch.store.reading.corpus import open_corpus as open_stored
from hpss_batch.store.records import Commit, Outcome
from hpss_batch.tasks.sources import open_recording
from hpss_batch.tasks.unit import reason

Array = NDArray[Any]

SAMPLES = 2**20
"""Decoded at once where only the end of a file tells how long it is."""


def open_corpus(path: str | os.PathLike[str], job: Job | Mapping[str, Any] | None = None) -> Corpus:
    """Open a run directory for reading; or, with a job, a corpus as the run directory that it would become.

    With a job nothing is written: arrays are computed from the audio as they are read, with the bits that a run would
    have stored. That suits a look at a few songs, and training that comes by each window once or twice. Opening costs a
    look at every file's header.

    Parameters
    ----------
    path : path or URL
        A run directory, the one that `output.path` named; with a job, whatever its `corpus.path` may be.
    job : Job or mapping, optional
        How to read and to separate, and which `output.arrays` and `output.features` there are. Of a mapping, such as
        ``{"hpss": {"method": "banded"}}``, what is left out has a job's defaults.

    Returns
    -------
    Corpus
        A mapping of ids to datasets. With a job it has all tracks that can be read; `n_samples` and `n_frames` in
        `Corpus.tracks` are upper bounds, true in ``corpus[id]``, and there are no summaries of features.

    Raises
    ------
    StoreError
        Without a job, if there is no run directory.
    CorpusError
        With a job, if there is nothing to work on. A file that cannot be read raises `TrackError` when it is asked for.
    """
    if job is None:
        return open_stored(path)
    return ComputedCorpus(planned(path, job))


def planned(path: str | os.PathLike[str], job: Job | Mapping[str, Any]) -> Plan:
    """What a run of a job on a corpus would do, into nowhere."""
    places = {"corpus.path": os.fspath(path), "output.path": os.devnull, "output.stems": None}
    made = job.replace(places) if isinstance(job, Job) else Job.parse(job, places.items())
    found = Plan(**vars(survey(made, afresh=True)))
    check_features(found)
    return found


class ComputedCorpus(Corpus):
    """The tracks of a corpus as a run would store them, computed as they are read; see `open_corpus`.

    Parameters
    ----------
    plan : Plan
        What the run would do, into a run directory that holds nothing.
    """

    def __init__(self, plan: Plan) -> None:
        self.path = plan.job.corpus.words
        self._plan, self._directory = plan, plan.directory
        done = {
            unit.number: Commit(
                unit.number, {p.index: Outcome("done") for p in unit.pieces}, layout=unit.layout
            )
            for unit in plan.pending
        }
        self._catalog = Catalog(plan.catalog.generations, done)
        recipe = replace(plan.recipe, shape=replace(plan.shape, summaries=False))
        self.frames = Frames(recipe, self._catalog.rows)
        self._known = dict[int, int]()

    @cached_property
    def dataset(self) -> xr.Dataset:
        """All tracks on one frame axis, as `Corpus.dataset` has them, but decoded."""
        shape, n_frames = self.frames.recipe.shape, end_of(self._catalog.rows)
        variables = dict[str, Any]()
        for name in shape.names:
            coding = shape.coding(name)
            read = {"coordinates", *(coding.attributes if coding else ())}  # by xarray, from a store
            described = {key: value for key, value in shape.attributes(name).items() if key not in read}
            variables[name] = xr.Variable(
                ("channel", "frame", *shape.dims(name)),
                LazilyIndexedArray(LazyFrames(self.frames, name, n_frames, coding)),
                described,
                {"preferred_chunks": {"frame": CHUNK_FRAMES}},
            )
        for name in AXES:
            lazy = LazilyIndexedArray(LazyAxis(self.frames, name, n_frames))
            variables[name] = xr.Variable(("frame",), lazy, attributes_of(name, shape))
        for name, values in self._plan.coordinates.items():
            variables[name] = xr.Variable((name,), values, attributes_of(name, shape))
        for name, (values, described) in track_variables(self._catalog).items():
            variables[name] = xr.Variable(("track",), values, described)
        coordinates = [name for name in ("track", "frequency", *AXES) if name in variables]
        return xr.Dataset(variables, attrs=group_attributes(self._catalog)).set_coords(coordinates)

    def lengths(self, rows: Array) -> Array:
        """Frames of each row, which takes a look at where each file ends; of MP3s and Oggs, decoding up to there."""
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            samples = list(pool.map(self._n_samples, rows.tolist()))
        return np.array([self._catalog.stft.n_frames(n) for n in samples], np.int64)

    def stem_files(self, track: str, **settings: Any) -> dict[str, str]:
        """Raise `TrackError`: nothing is written here."""
        self._known_row(track)
        raise TrackError(
            f"{self.path} was opened without a run, which is what makes stems: run a job with output.stems, or "
            "take samples from `corpus.stems(track)`"
        )

    @property
    def readers(self) -> Callable[[Iterable[str]], dict[str, ComputedReader]]:
        """See `Corpus`."""
        return partial(open_readers, self.frames)

    def lazy(self, track: str) -> xr.Dataset:
        """What ``corpus[track]`` holds, without what follows from it, and without Dask; see there."""
        return self._view(track)

    def _chunk_frames(self, names: list[str]) -> int:
        return CHUNK_FRAMES

    def _facts_of(self, row: int) -> dict[str, Any]:
        n_samples = self._n_samples(row)
        lengths = {"n_samples": n_samples, "n_frames": self._catalog.stft.n_frames(n_samples)}
        return super()._facts_of(row) | {name: np.int64(value) for name, value in lengths.items()}

    def _n_samples(self, row: int) -> int:
        """A track's true length at the corpus's rate."""
        if row not in self._known:
            placed, source = self._catalog.rows[row], self._plan.source
            self._known[row] = source.states[row].n_samples if source else self._decoded_length(placed)
        return self._known[row]

    def _decoded_length(self, placed: Placed) -> int:
        recipe = self.frames.recipe
        try:
            with open_recording(placed, recipe.shape.sample_rate, recipe.channels) as recording:
                if recording.read(recording.bound - 1, recording.bound).shape[1]:
                    return recording.bound
                at = 0
                while recording.n_samples is None and (n := recording.read(at, at + SAMPLES).shape[1]):
                    at += n
                return at if recording.n_samples is None else recording.n_samples
        except (AudioError, OSError, UnreachableError) as error:
            raise TrackError(f"{placed.id} {reason(error)}") from error
