"""What came of an evaluation: scores of each recording, medians over all, and files of them."""

import csv
import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hpss_batch.audio.choices import Channels
from hpss_batch.config.job import Job
from hpss_batch.dsp.methods import HpssParams, methods
from hpss_batch.dsp.stft import StftParams, check_nola
from hpss_batch.errors import ParameterError
from hpss_batch.products.evaluation.scores import Ratios, median
from hpss_batch.products.evaluation.truth import SOURCES

ESTIMATES = ("mixture", "separated", "ideal")


@dataclass(frozen=True)
class Settings:
    """What is evaluated.

    Attributes
    ----------
    stft : StftParams
        How audio is cut into frames; its window must satisfy NOLA.
    hpss : HpssParams
        How frames are separated.
    sample_rate : int or None
        Hz at which recordings are compared; None for their own.
    channels : {"mono", "all"}
        The mean of all channels, or every channel.
    """

    stft: StftParams = field(default_factory=StftParams)
    hpss: HpssParams = field(default_factory=HpssParams)
    sample_rate: int | None = None
    channels: Channels = "mono"

    def __post_init__(self) -> None:
        check_nola(self.stft)

    @classmethod
    def of(cls, what: "Settings | Job | str | None") -> "Settings":
        """What a job would do to a recording, at the recording's own rate unless the job gives one; or a method.

        Raises
        ------
        ParameterError
            If there is no method of that name.
        """
        if isinstance(what, Job):
            rate = what.corpus.sample_rate if what.given("corpus.sample_rate") else None
            return cls(what.stft, what.hpss, rate, what.corpus.channels)
        if isinstance(what, str):
            hpss = HpssParams(method=what)
            return cls(methods[what].stft, hpss)
        return what or cls()


@dataclass(frozen=True)
class Score:
    """A recording's score: for each component and each estimate four ratios.

    Attributes
    ----------
    track : str
        The recording.
    seconds : float
        Its length.
    ratios : mapping of (component, estimate) to Ratios
        For `SOURCES` and `ESTIMATES`.
    """

    track: str
    seconds: float
    ratios: Mapping[tuple[str, str], Ratios]

    @property
    def si_sdr(self) -> float:
        """Of what is separated: the mean over components that are not silent, in dB."""
        values = [self.ratios[component, "separated"].si_sdr for component in SOURCES]
        heard = [value for value in values if not math.isnan(value)]
        return sum(heard) / len(heard) if heard else math.nan


@dataclass(frozen=True, repr=False)
class Evaluation:
    """How well recordings are separated whose stems are known.

    Attributes
    ----------
    settings : Settings
        What was evaluated.
    scores : tuple of Score
        Of each recording.
    failed : dict of str to str
        Recordings that could not be scored, which may lack a stem, and why.
    """

    settings: Settings
    scores: tuple[Score, ...]
    failed: Mapping[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        gains = ", ".join(f"{c} {self.gain(c, 'separated').si_sdr:+.1f} dB" for c in SOURCES)
        return f"<Evaluation of {len(self.scores)} recordings; median gain in SI-SDR: {gains}>"

    def median(self, component: str, estimate: str) -> Ratios:
        """Median over recordings of the ratios of one of `SOURCES` and one of `ESTIMATES`."""
        return median([score.ratios[component, estimate] for score in self.scores])

    def gain(self, component: str, estimate: str) -> Ratios:
        """Median over recordings of how much better an estimate is than the mixture, in dB."""
        return median([s.ratios[component, estimate] - s.ratios[component, "mixture"] for s in self.scores])

    def table(self) -> list[dict[str, Any]]:
        """One row a recording, component and estimate: fit for a CSV file or `pandas.DataFrame`."""
        return [
            {"track": s.track, "component": component, "estimate": estimate, **asdict(ratios)}
            for s in self.scores
            for (component, estimate), ratios in s.ratios.items()
        ]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a ``.csv`` of `table`, or a ``.json`` with settings and medians as well; infinities as null there.

        Raises
        ------
        ParameterError
            See `check_target`.
        """
        _write(path, self.table(), {"settings": asdict(self.settings), "median": self.medians()})

    def medians(self) -> list[dict[str, Any]]:
        """One row a component and estimate: `median`."""
        return [
            {"component": component, "estimate": estimate, **asdict(self.median(component, estimate))}
            for component in SOURCES
            for estimate in ESTIMATES
        ]


@dataclass(frozen=True)
class Comparison:
    """How well several methods separate the same recordings.

    Attributes
    ----------
    evaluations : mapping of str to Evaluation
        Of each method, by its name; all of the same recordings. The first is what the others are compared with.
    """

    evaluations: Mapping[str, Evaluation]

    def losses(self, name: str) -> dict[str, float]:
        """Recordings that a method separates worse than the first: by how many dB of `Score.si_sdr`; worst first."""
        first = next(iter(self.evaluations.values()))
        pairs = zip(first.scores, self.evaluations[name].scores, strict=True)
        lost = {ours.track: loss for theirs, ours in pairs if (loss := theirs.si_sdr - ours.si_sdr) > 0}
        return dict(sorted(lost.items(), key=lambda item: -item[1]))

    def table(self) -> list[dict[str, Any]]:
        """`Evaluation.table` of all methods, with the method in each row."""
        return [{"method": name, **row} for name, found in self.evaluations.items() for row in found.table()]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write as `Evaluation.save` does, with the method in each row.

        Raises
        ------
        ParameterError
            See `check_target`.
        """
        found = self.evaluations.items()
        settings = {name: asdict(one.settings) for name, one in found}
        medians = [{"method": name, **row} for name, one in found for row in one.medians()]
        _write(path, self.table(), {"settings": settings, "median": medians})


def _write(path: str | os.PathLike[str], table: list[dict[str, Any]], rest: dict[str, Any]) -> None:
    """Write a table as CSV; or with the rest as JSON."""
    target = check_target(path)
    if target.suffix == ".csv":
        with target.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, table[0])
            writer.writeheader()
            writer.writerows(table)
    else:
        target.write_text(json.dumps(_finite(rest | {"pieces": table}), indent=1) + "\n", encoding="utf-8")


def check_target(path: str | os.PathLike[str]) -> Path:
    """A name that `save` can write to, before the work is done.

    Raises
    ------
    ParameterError
        If it is not one.
    """
    target = Path(path)
    if target.suffix not in (".csv", ".json"):
        raise ParameterError(f"{target.name} is neither a .csv nor a .json file; give a name that ends so")
    if not target.parent.is_dir():
        raise ParameterError(f"{target.parent} is not a folder; make it, or give another file")
    return target


def _finite(value: Any) -> Any:
    """JSON knows no infinity and no NaN."""
    if isinstance(value, Mapping):
        return {name: _finite(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
