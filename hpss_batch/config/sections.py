"""Where does a job's input come from, how is it transformed and separated, and on what does it run?

The blocks `corpus`, `stft`, `hpss` and `cluster`. What a key is (the comment in the YAML of `hpss-batch init`) and
what is allowed (the errors) stand where the key is declared. What else must hold of numbers, `StftParams` and
`HpssParams` check.
"""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, field_serializer, model_validator

from hpss_batch.config.messages import Complaints, key
from hpss_batch.config.types import (
    Block,
    Flag,
    Listed,
    Location,
    Mapped,
    Number,
    Pair,
    Positive,
    Text,
    Whole,
    Window,
    deep_check,
    defaults,
)

if TYPE_CHECKING:
    from hpss_batch.dsp.framing import StftParams
    from hpss_batch.dsp.hpss import HpssParams


class Corpus(Block):
    """Which tracks, and how they are read."""

    path: Location = key(
        ...,
        "folder, glob, file, CSV manifest with a `path` column, s3://…, or a run directory with spectrograms",
        "text: a folder, glob, file, CSV manifest, URL or run directory",
    )
    include: Annotated[tuple[Text, ...], Listed, Field(min_length=1)] | None = key(
        None,
        'patterns of file names, such as ["*.flac"]; null: every extension that libsndfile reads',
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
    channels: Literal["mono", "all"] = key("mono", "mono (the mean) or all", "mono or all")
    limit: Positive | None = key(
        None, "only the first N tracks, to try a job", "a whole number from 1 on, or null"
    )


class Stft(Block):
    """How a track is cut into frames; `StftParams` checks the values."""

    n_fft: Whole = key(2048, "samples in a frame", "a whole number of samples, at least 2")
    hop_length: Whole = key(
        512, "samples from one frame to the next", "a whole number of samples, at least 1"
    )
    win_length: Whole | None = key(
        None, "samples of the window; null: n_fft", "a whole number of samples, at most n_fft, or null"
    )
    window: Window = key(
        "hann",
        "name of a window of scipy.signal, or [name, parameter]",
        "the name of a window of scipy.signal, or a list of its name and parameters, such as [kaiser, 14.0]",
    )
    center: Flag = key(True, "frame t is centred on sample t * hop_length", "true or false")
    pad_mode: Text = key(
        "constant", "what stands before and after a track", "constant (zeros), edge, reflect or symmetric"
    )

    @property
    def params(self) -> "StftParams":
        """The same, as `hpss_batch.dsp` takes it."""
        from hpss_batch.dsp.framing import StftParams

        return StftParams(**dict(self))

    @model_validator(mode="after")
    def _check(self) -> Self:
        # The defaults are right, and not importing SciPy to see it is what makes `status` quick.
        if dict(self) != defaults(Stft):
            deep_check(self, lambda values: Stft.model_construct(**values).params)
        window = self.win_length or self.n_fft
        if self.hop_length > window:
            skipped = f"{self.hop_length - window} samples between two frames would count for nothing"
            raise Complaints(
                [
                    (
                        "hop_length",
                        f"hop_length is {self.hop_length}; allowed: at most the window's {window}: {skipped}",
                    )
                ]
            )
        return self


class Hpss(Block):
    """How a spectrogram is separated; `HpssParams` checks the values."""

    kernel_size: Annotated[tuple[Whole, Whole], Pair] = key(
        (31, 31),
        "length of the medians: a number, or [frames of the harmonic, bins of the percussive one]",
        "a whole number from 1 on, or a pair [harmonic, percussive] of them",
    )
    power: Number = key(
        2.0, "exponent of the soft masks; .inf makes them hard", "a number above 0, or .inf for hard masks"
    )
    margin: Annotated[tuple[Number, Number], Pair] = key(
        (1.0, 1.0),
        "how much one part must exceed the other: a number, or [harmonic, percussive]; above 1 leaves a residual",
        "a number from 1 on, or a pair [harmonic, percussive] of them",
    )

    @property
    def params(self) -> "HpssParams":
        """The same, as `hpss_batch.dsp` takes it."""
        from hpss_batch.dsp.hpss import HpssParams

        return HpssParams(**dict(self))

    @model_validator(mode="after")
    def _check(self) -> Self:
        if dict(self) != defaults(Hpss):
            deep_check(self, lambda values: Hpss.model_construct(**values).params)
        return self

    @field_serializer("kernel_size", "margin")
    def _as_given(self, pair: tuple[Any, Any]) -> Any:
        return pair[0] if pair[0] == pair[1] else pair


def _scheduler(connect: str) -> str:
    if not re.search(r"^[a-z]+://.|^[^/\s]+:\d+$|\.json$", connect):
        raise ValueError
    return connect


class Cluster(Block):
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
