"""What should a job do? Its YAML as frozen, checked values, every default filled in.

A `Job` comes from a YAML file (`Job.load`), from Python values or a text (`Job.parse`), or from the command line alone
(`Job.from_command_line`), in each case with overrides on top; it goes back to YAML by `Job.to_yaml`. Everything wrong
with it is in one `ConfigError`, a line each. `Job.fingerprint` stands for all settings that change a number.

Paths are relative to the folder in which a command runs, as on the command line, and not to the YAML file; `~` is
the home folder, and `$NAME` an environment variable. `Job.absolute` makes a job that means the same from every folder.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, PrivateAttr, ValidationError, model_validator

from hpss_batch.config.document import Document, Override, flatten
from hpss_batch.config.messages import Complaints, config_error
from hpss_batch.config.numerics import differences, plain, stem_numerics, store_numerics
from hpss_batch.config.outputs import Output
from hpss_batch.config.sections import Cluster, CorpusSection, Hpss, Stft
from hpss_batch.config.types import Section, Settings
from hpss_batch.config.yaml_reader import dump, show
from hpss_batch.dsp.methods import PRESETS, HpssParams
from hpss_batch.dsp.params import StftParams
from hpss_batch.errors import ConfigError, ParameterError, StoreError
from hpss_batch.paths import Places, absolute
from hpss_batch.store.stem_records import settings_key

if TYPE_CHECKING:
    from hpss_batch.store.catalog import State
    from hpss_batch.store.directory import RunDirectory
    from hpss_batch.store.stem_records import StemRecord


class Job(Section):
    """A job, checked: what `hpss-batch` takes from a YAML file.

    Made by `Job.load`, `Job.parse` or `Job.from_command_line`; ``Job(corpus={"path": "music/"}, output={"path":
    "out/"})`` is the same as `Job.parse`. Two jobs are equal if they do the same.

    Raises
    ------
    ConfigError
        Naming every key that is unknown, missing, or has a value of the wrong type or that is not possible.

    Examples
    --------
    >>> job = Job.parse("corpus: {path: music/}\\noutput: {path: out/}", ["hpss.margin=3"])
    >>> job.hpss.margin, job.stft.n_fft, job.given("stft.n_fft")
    ((3.0, 3.0), 2048, False)
    """

    corpus: CorpusSection = Field(description="The recordings.")
    stft: Stft = Field(StftParams(), description="How they are cut into frames: librosa's parameters.")
    hpss: Hpss = Field(HpssParams(), description="How each frame is separated.")
    output: Output = Field(description="What is written, and where.")
    cluster: Cluster = Field(
        Cluster(), description="Where the work is done: any Dask cluster class, by name."
    )
    dask: Settings = Field(
        {},
        description="Settings of Dask, such as {distributed.worker.memory.target: 0.8}.",
        json_schema_extra={"allowed": "a mapping of names of Dask's settings to values"},
    )
    _given: dict[str, Any] = PrivateAttr()

    def __init__(self, **values: Any) -> None:
        self._fill(Document(values))

    @classmethod
    def load(cls, path: str | os.PathLike[str], overrides: Iterable[Override] = ()) -> Self:
        """The job of a YAML file.

        Parameters
        ----------
        path
            The file.
        overrides
            "hpss.margin=3", as after `--set`, the value in YAML; or a key and a value, ("hpss.margin", 3). Later
            ones win, over earlier ones and over the file.
        """
        return cls._of(Document.load(path), overrides)

    @classmethod
    def of_run(cls, directory: "RunDirectory") -> Self | None:
        """The job that a run directory, where it is now, was run with last; None where none is written.

        Raises
        ------
        StoreError
            If its job.yaml is damaged; the cause is what is wrong with it.
        """
        data = directory.folder.read("job.yaml")
        if data is None:
            return None
        try:
            return cls._of(Document.decode(data, "job.yaml"), [("output.path", directory.url)])
        except ConfigError as error:
            raise StoreError(
                f"{directory.url}/job.yaml is damaged ({error}). Nothing else is lost: run again with the job's YAML, "
                "which writes it"
            ) from error

    @classmethod
    def parse(
        cls, source: str | Mapping[str, Any], overrides: Iterable[Override] = (), *, name: str = "the job"
    ) -> Self:
        """The job of a YAML text, called `name` in messages, or of a mapping."""
        document = Document.read(source, name) if isinstance(source, str) else Document(dict(source))
        return cls._of(document, overrides)

    @classmethod
    def from_command_line(
        cls,
        corpus: Places,
        output: str | os.PathLike[str],
        overrides: Iterable[Override] = (),
    ) -> Self:
        """The job of `hpss-batch run music/ -o out/`: defaults, but for the overrides."""
        return cls._of(Document({"corpus": {"path": corpus}, "output": {"path": output}}), overrides)

    @classmethod
    def _of(cls, document: Document, overrides: Iterable[Override]) -> Self:
        document.override(overrides)
        job = cls.__new__(cls)
        job._fill(document)
        return job

    def _fill(self, document: Document) -> None:
        # A block whose lines are all commented out is null in YAML, and means the defaults.
        given = {name: value for name, value in document.value.items() if value is not None}
        keywords: dict[str, Any] = {"given": given}  # in one, as keys that are not text could not be keywords
        try:
            super().__init__(**keywords)
        except ValidationError as error:
            raise config_error(error, type(self), document) from None  # which says all that pydantic's says
        self._given = plain(given)

    @model_validator(mode="before")
    @classmethod
    def _unpacked(cls, keywords: Any) -> Any:
        """What `_fill` passed; with the two blocks that have needed keys, so that errors name these.

        What is not given of `stft` is that of the method.
        """
        given = {"corpus": {}, "output": {}} | keywords["given"]
        hpss, stft = given.get("hpss", {}), given.get("stft", {})
        name = hpss.get("method", "librosa") if isinstance(hpss, Mapping) else getattr(hpss, "method", None)
        if isinstance(name, str) and name in PRESETS and isinstance(stft, Mapping):
            given["stft"] = PRESETS[name]["stft"] | stft
        return given

    @model_validator(mode="after")
    def _check(self) -> Self:
        problems = [*self._same_place(), *self._stem_problems(), *self._feature_problems()]
        if problems:
            raise Complaints(problems)
        return self

    def _same_place(self) -> Iterable[tuple[str, str]]:
        *sources, target = (absolute(path).rstrip("/") for path in (*self.corpus.paths, self.output.path))
        if target in sources:
            yield (
                "output.path",
                f"output.path is {show(self.output.path)}, which is the corpus; allowed: another folder",
            )

    def _stem_problems(self) -> Iterable[tuple[str, str]]:
        if self.output.stems is not None:
            from hpss_batch.dsp.framing import check_nola

            second = self.output.stems.second_pass
            transforms = {
                "stft": self.stft,
                **({"output.stems.second_pass.stft": second.stft} if second else {}),
            }
            for name, stft in transforms.items():
                try:
                    check_nola(stft)
                except ParameterError as error:
                    where = "output.stems" if name == "stft" else name
                    yield where, f"output.stems need a spectrogram that can be inverted: {name}.{error}"

    def _feature_problems(self) -> Iterable[tuple[str, str]]:
        features, rate = self.output.features, self.corpus.sample_rate
        if features is None:
            return
        if features.n_mels > self.stft.n_bins:
            yield (
                "output.features.n_mels",
                f"output.features.n_mels is {features.n_mels}; allowed: at most the {self.stft.n_bins} bins of "
                f"stft.n_fft={self.stft.n_fft}",
            )
        highest = features.fmin if features.fmax is None else features.fmax
        if rate is not None and highest > rate / 2:
            name = "fmin" if features.fmax is None else "fmax"
            yield (
                f"output.features.{name}",
                f"output.features.{name} is {highest:g}; allowed: at most half of corpus.sample_rate, {rate / 2:g}",
            )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Job) and dict(self) == dict(other)

    def given(self, key: str) -> bool:
        """Whether a key ("stft.n_fft") was set, and did not just get its default."""
        block: Any = self._given
        for part in key.split("."):
            if not isinstance(block, Mapping) or part not in block:
                return False
            block = block[part]
        return True

    def replace(self, changes: Mapping[str, Any]) -> Self:
        """The same job with other values of some keys, {"output.unit_frames": 1024}, checked again."""
        return self.parse(self._given, changes.items())

    def absolute(self) -> Self:
        """The same job with absolute paths, so that it means the same wherever it is read again."""
        paths: dict[str, Any] = {"output.path": absolute(self.output.path)}
        paths["corpus.path"] = [absolute(path) for path in self.corpus.paths]
        if self.cluster.scheduler_file is not None:
            paths["cluster.connect"] = absolute(self.cluster.scheduler_file)
        return self.replace(paths)

    def to_yaml(self, *, defaults: bool = True) -> str:
        """YAML from which `Job.parse` makes an equal job: every default filled in, or only what was `given`."""
        return dump(plain(self.model_dump(by_alias=True)) if defaults else self._given)

    def numerics(self) -> dict[str, Any]:
        """Every setting that changes a number of the store, as values fit for JSON."""
        return store_numerics(self)

    def stem_settings(self) -> dict[str, Any]:
        """Every setting that changes a stem or its name, as values fit for JSON; the job has `output.stems`."""
        return stem_numerics(self)

    @property
    def stems_key(self) -> str | None:
        """What stands for `stem_settings` in a run directory; None where the job makes no stems."""
        return None if self.output.stems is None else settings_key(self.stem_settings())

    @property
    def limits(self) -> str:
        """What ends a worker, memory and time, in words: a track that was quarantined may do well with others."""
        given = dict(flatten({"cluster.kwargs": self.cluster.kwargs, "dask": self.dask}))
        memory = {name: value for name, value in given.items() if "mem" in f"{name}={value}".lower()}
        if not any(name.startswith("cluster.kwargs.") for name in memory):
            # each gets its part of a machine's
            shares = ("cluster.kwargs.n_workers", "cluster.kwargs.threads_per_worker")
            memory |= {name: given[name] for name in shares if name in given}
        found = memory | {"cluster.stalled_after": self.cluster.stalled_after}
        return ", ".join(f"{name}={value}" for name, value in sorted(found.items()))

    def tries_again(self, found: "State | StemRecord") -> bool:
        """Whether a run tries again by itself what went wrong: a file was out of reach, or workers had other limits."""
        return found.retry or (found.limits is not None and found.limits != self.limits)

    def identity(self) -> dict[str, Any]:
        """What generations keep of a job: its `numerics` and their `fingerprint`."""
        return {"numerics": self.numerics(), "fingerprint": self.fingerprint()}

    def check_same(self, theirs: Mapping[str, Any]) -> None:
        """Raise `StoreError` if the run directory was made with settings, `numerics`, that give other numbers."""
        found = differences(theirs, self.numerics())
        if found:
            raise StoreError(
                f"{self.output.path} was made by a job whose settings give other numbers (there, then here):\n"
                + "\n".join(f"  {line}" for line in found)
                + "\nUse those settings, or another output.path"
            )

    def fingerprint(self) -> str:
        """16 hexadecimal digits that two jobs share exactly if their `numerics` are the same."""
        text = json.dumps(self.numerics(), sort_keys=True, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()[:16]
