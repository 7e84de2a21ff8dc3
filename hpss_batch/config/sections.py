"""Where does a job's input come from, how is it transformed and separated, and on what does it run?

The blocks `corpus`, `stft`, `hpss` and `cluster`. What a key is (the comment in the YAML of `hpss-batch init`) and
what is allowed (the errors) stand where the key is declared: for `stft` and `hpss` in `dsp/`.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, model_validator

from hpss_batch.audio.choices import Channels, Choice
from hpss_batch.config.messages import Complaints, key
from hpss_batch.config.types import Declared, Listed, Location, Locations, Mapped, Positive, Section, Text
from hpss_batch.dsp.methods import HpssParams
from hpss_batch.dsp.params import StftParams
from hpss_batch.text import listed


class CorpusSection(Section):
    """Which tracks, and how they are read."""

    path: Locations = key(
        ...,
        "folder, glob, file, CSV manifest with a `path` column, a list of these, or a run directory of spectrograms",
        "text: a folder, glob, file, CSV manifest, URL or run directory; or a list of several",
    )
    include: Annotated[tuple[Text, ...], Listed, Field(min_length=1)] | None = key(
        None,
        'patterns of file names, such as ["*.flac"]; null: every extension that is read here',
        'a list of patterns such as ["*.flac", "*.wav"], or null',
    )
    exclude: Annotated[tuple[Text, ...], Listed] = key(
        (), "patterns of what to leave out", 'a list of patterns such as ["*demo*"]'
    )
    sample_rate: Positive | None = key(
        44100,
        "Hz of the arrays; other rates are resampled; null: all tracks must agree",
        "a whole number of Hz from 1 on, or null",
    )
    decoder: Choice = key(
        "auto",
        "what reads them: auto (libsndfile what it knows; the rest FFmpeg, if installed), libsndfile or ffmpeg",
        "auto, libsndfile or ffmpeg",
    )
    channels: Channels = key("mono", "mono (the mean) or all", "mono or all")
    limit: Positive | None = key(
        None, "only the first N tracks, to try a job", "a whole number from 1 on, or null"
    )

    @property
    def paths(self) -> tuple[str, ...]:
        """The sources, of which there is at least one."""
        return (self.path,) if isinstance(self.path, str) else self.path

    @property
    def words(self) -> str:
        """The sources, as people read them."""
        return listed(self.paths)


def _without_gaps(stft: StftParams) -> StftParams:
    window = stft.win_length or stft.n_fft
    if stft.hop_length > window:
        skipped = f"{stft.hop_length - window} samples between two frames would count for nothing"
        sentence = f"hop_length is {stft.hop_length}; allowed: at most the window's {window}: {skipped}"
        raise Complaints([("hop_length", sentence)])
    return stft


Stft = Annotated[StftParams, Declared(), AfterValidator(_without_gaps)]
Hpss = Annotated[HpssParams, Declared()]


def _scheduler(connect: str) -> str:
    if not re.search(r"^[a-z]+://.|^[^/\s]+:\d+$|\.json$", connect):
        raise ValueError
    return connect


class Cluster(Section):
    """Where the tasks run: a Dask cluster class by name, or a scheduler that is there already."""

    class_name: Annotated[Text, Field(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$")] | None = key(
        "distributed.LocalCluster",
        "any Dask cluster class, such as dask_jobqueue.SLURMCluster",
        "module.Class, such as distributed.LocalCluster or dask_jobqueue.SLURMCluster, or null with connect",
        alias="class",
    )
    kwargs: Mapped = key({}, "its arguments, such as {n_workers: 4}", "a mapping of names to values")
    scale: Positive | Mapped | None = key(
        None,
        "workers to ask for, or arguments of cluster.scale, such as {jobs: 10}",
        "a whole number from 1 on, a mapping such as {jobs: 10}, or null",
    )
    adapt: Mapped | None = key(
        None,
        "instead of scale: arguments of cluster.adapt, such as {minimum: 0, maximum: 20}",
        "a mapping such as {minimum: 0, maximum: 20}, or null",
    )
    connect: Annotated[Location, AfterValidator(_scheduler)] | None = key(
        None,
        "instead of class: tcp://host:port of a scheduler, or its scheduler file (.json)",
        "an address such as tcp://host:8786, a scheduler file ending in .json, or null",
    )

    stalled_after: Positive | None = key(
        600,
        "seconds, beside half of its audio's, after which a task is stalled and its worker is ended; null: never",
        "a whole number of seconds from 1 on, or null",
    )
    give_up_after: Positive | None = key(
        172800,
        "seconds without any worker, in a queue say, after which a run ends; null: never",
        "a whole number of seconds from 1 on, or null",
    )

    @property
    def is_local(self) -> bool:
        """Whether its workers are on this machine."""
        return (self.class_name or "").endswith(".LocalCluster")

    @property
    def scheduler_file(self) -> str | None:
        """The scheduler file to connect through, if `connect` is one and no address."""
        return self.connect if self.connect is not None and self.connect.endswith(".json") else None

    @model_validator(mode="before")
    @classmethod
    def _no_class(cls, data: Any) -> Any:
        """`connect` takes the place of the default class, but not of one that was given."""
        if isinstance(data, Mapping) and data.get("connect") is not None and "class" not in data:
            return {**data, "class": None}
        return data

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.connect is None:
            if self.class_name is None:
                raise Complaints([("class", "class is null, and so is connect; allowed: one of them")])
            if self.scale is not None and self.adapt is not None:
                raise Complaints([("adapt", "adapt and cluster.scale are both given; allowed: one of them")])
            return self
        values = {"class": self.class_name, "kwargs": self.kwargs, "scale": self.scale, "adapt": self.adapt}
        given = [name for name, value in values.items() if value]
        if given:
            remedy = (
                "; a scheduler that is connected to has its workers: remove one of them, or set it to null"
            )
            raise Complaints(
                [("connect", f"connect and cluster.{name} are both given{remedy}") for name in given]
            )
        return self
