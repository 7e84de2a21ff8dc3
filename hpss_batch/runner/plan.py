"""What will a run do, how much of everything will it take? Computed from a survey, without doing any of it.

A plan is pure: two are equal for the same corpus and run directory, and printing one changes nothing. What it says of
memory is an upper bound that holds for every task of the run, whatever the length of a track; the tests hold real
workers to it.
"""

import warnings
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hpss_batch.cluster.client import request
from hpss_batch.cluster.requests.request import INTERPRETER_BYTES, Request
from hpss_batch.config.job import Job
from hpss_batch.dsp.params import FeatureParams, StftParams
from hpss_batch.errors import StoreError
from hpss_batch.paths import absolute
from hpss_batch.runner.survey import Progress, Survey, source_of, survey
from hpss_batch.stems.plan import StemPlan, check_names, stem_plan
from hpss_batch.store.arrays.schema import Shape
from hpss_batch.store.directory import RunDirectory
from hpss_batch.store.layout import Placed, Unit
from hpss_batch.tasks.memory import DECODER_BYTES, FFMPEG_BYTES, task_bytes
from hpss_batch.tasks.spec import Recipe

if TYPE_CHECKING:  # which imports sparse matrices
    from hpss_batch.dsp.features import Feature
    from hpss_batch.dsp.filterbanks import FilterBanks


@dataclass(frozen=True, repr=False)
class Plan(Survey):
    """What a run will do.

    Attributes
    ----------
    job, catalog, new, listing, source
        See `Survey`.
    retry_failed : bool
        Whether stems that could not be made are tried again.
    allow_cluster_class : bool
        Whether the cluster's class may be of any package.
    """

    retry_failed: bool = False
    allow_cluster_class: bool = False

    def __repr__(self) -> str:
        return f"<Plan {self.job.output.path}: {self.catalog.summary()}; {self.n_tasks:,} tasks to do>"

    @cached_property
    def directory(self) -> RunDirectory:
        """Where it is done."""
        return RunDirectory(self.job.output.path)

    @cached_property
    def stems(self) -> StemPlan | None:
        """The stems to make; None where the job wants none."""
        return stem_plan(self.job, self.catalog, self.retry_failed)

    @property
    def n_tasks(self) -> int:
        """How many units and tracks' stems there are to do."""
        return len(self.pending) + (len(self.stems.tasks) if self.stems else 0)

    @property
    def is_done(self) -> bool:
        """Whether there is nothing to do."""
        return self.n_tasks == 0

    @cached_property
    def stft(self) -> StftParams:
        """How tracks are cut into frames."""
        return self.catalog.stft

    @cached_property
    def shape(self) -> Shape:
        """The store's arrays."""
        settings, output = self.catalog.settings, self.job.output
        found: tuple[Feature, ...] = ()
        if self.features is not None:
            from hpss_batch.dsp.features import list_features

            found = list_features(self.features)
        return Shape(
            arrays=output.arrays,
            mask_dtype=output.mask_dtype,
            n_bins=self.stft.n_bins,
            unit_frames=settings["unit_frames"],
            sample_rate=settings["sample_rate"],
            features=found,
            summaries=self.features is not None and self.features.summaries,
        )

    @property
    def features(self) -> FeatureParams | None:
        """Which features are computed, and how; None where the job wants none."""
        return self.job.output.features

    @cached_property
    def banks(self) -> "FilterBanks | None":
        """The filter banks of features; None where the job wants none."""
        if self.features is None:
            return None
        from hpss_batch.dsp.filterbanks import filter_banks

        return filter_banks(self.features, self.stft, self.shape.sample_rate)

    @cached_property
    def coordinates(self) -> dict[str, NDArray[np.float64]]:
        """Values along `frequency` [Hz] and, where there are such features, `mel` [Hz] and `chroma` [semitones]."""
        found = {"frequency": self.stft.frequencies(self.shape.sample_rate)}
        dims = {dim for feature in self.shape.features for dim in feature.dims}
        if self.banks is not None and "mel" in dims:
            found["mel"] = self.banks.mel_frequencies
        if self.features is not None and "chroma" in dims:
            found["chroma"] = np.arange(self.features.n_chroma, dtype=np.float64) * (
                12 / self.features.n_chroma
            )
        return found

    @cached_property
    def recipe(self) -> Recipe:
        """What each task needs to know."""
        return Recipe(
            url=self.directory.url,
            source=absolute(self.job.corpus.words) if self.source is not None else None,
            stft=self.stft,
            hpss=self.job.hpss,
            shape=self.shape,
            channels=self.job.corpus.channels,
            n_channels=self.catalog.settings["n_channels"],
            generation=self.catalog.generations[-1].number,
            features=self.features,
        )

    @cached_property
    def pending(self) -> list[Unit]:
        """The units to do; where spectrograms are read, those whose tracks are all done (or failed) there."""
        units = self.catalog.pending_units()
        if self.source is None:
            return units
        states = self.source.states
        return [
            self._with_lengths(unit)
            for unit in units
            if all(states[piece.index].status != "pending" for piece in unit.pieces)
        ]

    def _with_lengths(self, unit: Unit) -> Unit:
        """A unit whose tracks have the true lengths that they have in the source."""
        assert self.source is not None
        states = self.source.states
        return replace(
            unit,
            pieces=tuple(
                replace(piece, track=replace(piece.track, n_samples=states[piece.index].n_samples))
                for piece in unit.pieces
            ),
        )

    @cached_property
    def waiting(self) -> int:
        """Units that cannot be done yet since the source has not done their tracks."""
        return len(self.catalog.pending_units()) - len(self.pending)

    @property
    def tracks(self) -> list[Placed]:
        """The tracks that count: neither superseded nor vanished."""
        return [
            row
            for row, state in zip(self.catalog.rows, self.catalog.states, strict=True)
            if state.status not in ("superseded", "vanished")
        ]

    @property
    def array_bytes(self) -> dict[str, int]:
        """Bytes of each array of the finished store, before compression; gaps and absent channels take none."""
        frames = sum(row.n_frames * row.n_channels(self.catalog.channels) for row in self.tracks)
        return {name: frames * self.shape.frame_bytes(name) for name in self.shape.names}

    @property
    def task_bytes(self) -> int:
        """Upper bound on the memory of a worker's thread, the interpreter included."""
        arrays = task_bytes(self.recipe) if self.catalog.has_units else 0
        stems = self.stems.task_bytes if self.stems else 0
        ffmpeg = FFMPEG_BYTES if any(row.decoder == "ffmpeg" for row in self.tracks) else 0
        return max(arrays, INTERPRETER_BYTES + DECODER_BYTES) + stems + ffmpeg

    @cached_property
    def request(self) -> Request | None:
        """What the cluster would be asked for; None where one is there already, or there is nothing to do.

        Raises
        ------
        ClusterError
            If it would not be had: the class is not there or not allowed, or workers have too little memory.
        """
        if self.is_done:
            return None
        job, logs = self.job, self.directory.logs
        return request(job.cluster, job.dask, self.allow_cluster_class, self.task_bytes, logs)


def check_features(planned: Plan) -> None:
    """Refuse features that workers could not compute, before anything is written; warn of those that are empty."""
    features = planned.features
    if features is None or not planned.pending:
        return
    from hpss_batch.dsp.features import empty_bands

    assert planned.banks is not None
    empty = empty_bands(features, planned.banks)
    if empty:
        warnings.warn(
            f"{empty} of the {features.n_mels} mel bands lie between two bins and stay empty, as librosa's would: "
            "lower output.features.n_mels, or raise stft.n_fft or output.features.fmin",
            stacklevel=3,
        )


def plan_of_run(directory: RunDirectory) -> Plan:
    """The plan that a run directory was made by, with nothing new in it.

    Raises
    ------
    StoreError
        If this is not a run directory, or a run was stopped before it wrote down its job.
    """
    catalog = directory.catalog()
    job = Job.of_run(directory)
    if job is None:
        raise StoreError(f"{directory.url}/job.yaml is missing; run the job again, which writes it")
    source = source_of(job)
    return Plan(
        job,
        catalog.with_stems(directory.stem_records(job.stems_key)),
        source=source.catalog() if source is not None else None,
    )


def plan(
    job: Job,
    *,
    retry_failed: bool = False,
    progress: Progress | None = None,
    allow_cluster_class: bool = False,
) -> Plan:
    """Say what `run` would do with a job. Nothing is written, and no cluster started.

    Parameters
    ----------
    job : Job
        The job.
    retry_failed, allow_cluster_class : bool
        As in `run`.
    progress : callable, optional
        Called with the number of tracks that were opened so far, and of those to open.

    Returns
    -------
    Plan

    Raises
    ------
    CorpusError
        If there is nothing to work on.
    StoreError
        If the run directory was made by another job.
    ParameterError
        If there is no librosa for the features that are wanted, or they do not fit the sample rate.
    ClusterError
        If the cluster's class is not there, not allowed or no cluster, or its workers have too little memory.
    """
    planned = plan_work(job, retry_failed, progress, allow_cluster_class)
    _ = planned.request  # raises what a run would
    return planned


def plan_work(
    job: Job, retry_failed: bool, progress: Progress | None, allow_cluster_class: bool = False
) -> Plan:
    """The plan, of whose cluster nothing is known; whoever opens that will see."""
    found = survey(job, retry_failed=retry_failed, progress=progress)
    planned = Plan(**vars(found), retry_failed=retry_failed, allow_cluster_class=allow_cluster_class)
    check_names(planned.job, planned.directory)
    check_features(planned)
    return planned
