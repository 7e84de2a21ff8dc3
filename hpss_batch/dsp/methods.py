"""What is a method of separation, as data, and what is it in frames and bins?

A method is a transform and some things more, all of them keys of a job's `hpss`:

1. Bands of frequency (`Band`). In each of them the harmonic median runs along frames, over the highest of some
   neighbouring bins if it is widened, and the percussive median along bins.
2. How both become masks: their ratio to a power, or a logistic of its logarithm (`Logistic`), whose slope and offset
   depend on frequency.
3. Margins.
4. Channels: whether each has masks of its own, or all of a track have the same.

`PRESETS` are methods under names; a new one is a new entry. Lengths in seconds and Hz mean the same at every rate and
transform; `hpss_batch.dsp.separation` says what they are in frames and bins.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from itertools import pairwise
from typing import Any

from hpss_batch.dsp.checks import Check, Parameters, number, one_of, pair, parameter, whole
from hpss_batch.dsp.params import StftParams
from hpss_batch.errors import ParameterError

Length = int | str
"""A number of frames or bins, or a text such as "0.35 s" or "205 Hz"."""

PRESETS: dict[str, dict[str, Any]] = {
    "librosa": {
        "about": "librosa's own, bit for bit",
        "stft": {"n_fft": 2048, "hop_length": 512},
        "kernel_size": 31,
        "power": 2.0,
        "margin": 1.0,
    },
    "tuned": {
        "about": "librosa's formulas, with lengths that suit music",
        "stft": {"n_fft": 4096, "hop_length": 1024},
        "kernel_size": ["0.35 s", "205 Hz"],
        "power": 2.0,
        "margin": 1.0,
    },
    "banded": {
        "about": "medians and masks that depend on frequency",
        "stft": {"n_fft": 4096, "hop_length": 1024},
        "kernel_size": [
            {"start": 0, "kernel_size": ["0.35 s", "54 Hz"], "widening": "32 Hz"},
            {"start": 90, "kernel_size": ["0.3 s", "54 Hz"], "widening": "32 Hz"},
            {"start": 300, "kernel_size": ["0.255 s", "97 Hz"], "widening": "32 Hz"},
            {"start": 600, "kernel_size": ["0.255 s", "205 Hz"], "widening": "32 Hz"},
            {"start": 1200, "kernel_size": ["0.21 s", "355 Hz"], "widening": "32 Hz"},
            {"start": 2400, "kernel_size": ["0.163 s", "700 Hz"], "widening": "32 Hz"},
        ],
        "power": {
            "knots": [50, 110, 250, 600, 1500, 5000],
            "slope": [2.8, 2.8, 3.0, 2.2, 1.9, 0.8],
            "offset": [-0.2, -0.2, 0.3, 0.0, -0.1, -2.0],
            "smoothing": "32 Hz",
            "floor": 1e-3,
        },
        "margin": 1.0,
    },
}

_SECONDS, _HZ = {"s": 1.0, "ms": 1e-3}, {"Hz": 1.0, "kHz": 1e3}


def _length(units: Mapping[str, float]) -> Check:
    """A number of frames or bins, or a text with one of some units, the first of which it is kept in."""

    def check(value: Any, earlier: Mapping[str, Any]) -> Length:
        if not isinstance(value, str):
            count: int = whole(1)(value, earlier)
            return count
        found = re.fullmatch(rf"\s*(\d*\.?\d+(?:[eE][+-]?\d+)?)\s*({'|'.join(units)})\s*", value)
        if found is None or not 0 < float(found[1]) < math.inf:
            raise ValueError
        return f"{float(found[1]) * units[found[2]]:.12g} {next(iter(units))}"

    return check


_BINS = _length(_HZ)


def _kernels(value: Any, earlier: Mapping[str, Any]) -> tuple[Length, Length]:
    harmonic, percussive = value if isinstance(value, tuple | list) else (value, value)
    return _length(_SECONDS)(harmonic, earlier), _BINS(percussive, earlier)


def _numbers(value: Any, earlier: Mapping[str, Any]) -> tuple[float, ...]:
    """As many finite numbers as there are knots; a single one stands for all."""
    knots = earlier.get("knots", ())
    given = value if isinstance(value, tuple | list) else [value] * len(knots)
    if len(given) != len(knots):
        raise ValueError
    return tuple(number(math.isfinite)(one, earlier) for one in given)


def _knots(value: Any, earlier: Mapping[str, Any]) -> tuple[float, ...]:
    given = value if isinstance(value, tuple | list) else [value]
    found = tuple(number(lambda hz: 0 < hz < math.inf)(one, earlier) for one in given)
    if not found or any(a >= b for a, b in pairwise(found)):
        raise ValueError
    return found


@dataclass(frozen=True)
class Band(Parameters):
    """A band of frequency, up to where the next one starts: kernels, and bins of whose highest the first is taken."""

    start: float = parameter(
        0.0, number(lambda hz: 0 <= hz < math.inf), "Hz at which it begins", "a number of Hz from 0 on"
    )
    kernel_size: tuple[Length, Length] = parameter(
        (31, 31), _kernels, "length of the medians", "[frames or seconds, bins or Hz], such as [15, 205 Hz]"
    )
    widening: Length = parameter(
        1, _BINS, "bins whose highest the harmonic median is of", "a number of bins, or of Hz such as 32 Hz"
    )


@dataclass(frozen=True)
class Logistic(Parameters):
    """The harmonic mask as 1 / (1 + exp(-(slope · D + offset))), D = ln((harmonic + floor) / (percussive + floor)).

    Slope and offset are linear in the logarithm of frequency between `knots`, and constant outside; D is the mean over
    some bins, over those that exist at the ends. The percussive mask is what is left to 1. At margins above 1
    D is less by ln margin for the harmonic mask, and more for the percussive one; what both leave is the residual.
    """

    knots: tuple[float, ...] = parameter(
        (1000.0,), _knots, "Hz at which slope and offset are given", "ascending numbers of Hz above 0"
    )
    slope: tuple[float, ...] = parameter(
        (2.0,), _numbers, "at each knot: 2 is a ratio's power of 2", "a number for each of knots"
    )
    offset: tuple[float, ...] = parameter(
        (0.0,), _numbers, "at each knot: above 0 for more in the harmonic part", "a number for each of knots"
    )
    smoothing: Length = parameter(
        1, _BINS, "bins over which D is the mean", "a number of bins, or of Hz such as 32 Hz"
    )
    floor: float = parameter(
        1e-3,
        number(lambda floor: 1e-30 <= floor <= 1),
        "added to medians, of magnitudes of samples within -1 and 1",
        "a number from 1e-30 to 1",
    )


def _made(name: str, kind: type[Any], value: Any) -> Any:
    """A nested block from a mapping, with errors that begin with its name."""
    if isinstance(value, kind):
        return value
    if not isinstance(value, Mapping):
        raise ValueError
    known = [one.name for one in fields(kind)]
    unknown = [key for key in value if key not in known]
    if unknown:
        raise ParameterError(f"{name}.{unknown[0]} is not a key; the keys of {name} are {', '.join(known)}")
    try:
        return kind(**value)
    except ParameterError as error:
        raise ParameterError(f"{name}.{error}") from error


def _kernel_size(value: Any, earlier: Mapping[str, Any]) -> Any:
    if not isinstance(value, tuple | list) or not any(isinstance(one, Mapping | Band) for one in value):
        return _kernels(value, earlier)
    bands = tuple(_made("kernel_size", Band, one) for one in value)
    starts = [band.start for band in bands]
    if starts[0] != 0 or any(a >= b for a, b in pairwise(starts)):
        raise ParameterError(f"kernel_size has bands that start at {starts}; allowed: 0, then ascending Hz")
    return bands


def _power(value: Any, earlier: Mapping[str, Any]) -> float | Logistic:
    if not isinstance(value, Mapping | Logistic):
        power: float = number(lambda power: power > 0)(value, earlier)
        return power
    if isinstance(value, Mapping):  # what is not given is the method's, if that has a logistic
        preset = PRESETS[earlier.get("method", "librosa")]["power"]
        value = {**preset, **value} if isinstance(preset, Mapping) else value
    logistic: Logistic = _made("power", Logistic, value)
    return logistic


def _of_method(name: str, check: Check) -> Check:
    """What a check allows, or None, which is what the method has."""

    def checked(value: Any, earlier: Mapping[str, Any]) -> Any:
        return check(PRESETS[earlier.get("method", "librosa")][name] if value is None else value, earlier)

    return checked


@dataclass(frozen=True)
class HpssParams(Parameters):
    """How a spectrogram is separated. Numbers stand for pairs (harmonic, percussive); None for what the method has.

    The harmonic median runs over `kernel_size[0]` frames, the percussive one over `kernel_size[1]` bins; each must
    exceed the other by its `margin`. Where masks are hard (infinite `power`), ties belong to neither. With joint
    `channels` both medians are of the root of the mean of the channels' powers.
    """

    method: str = field(
        default="librosa",
        kw_only=True,  # the others are librosa's, and in its order
        metadata={
            "check": one_of(*PRESETS),
            "comment": f"what is left out below, and in stft, is as {', '.join(PRESETS)} has it",
            "allowed": ", ".join(PRESETS),
        },
    )
    kernel_size: tuple[Length, Length] | tuple[Band, ...] = parameter(
        None,
        _of_method("kernel_size", _kernel_size),
        "length of the medians: a number, or [harmonic, percussive] in frames or s, bins or Hz; or a list of bands",
        "a whole number from 1 on, or a pair [harmonic, percussive] of them, or of lengths such as [0.35 s, 205 Hz]; "
        "or a list of bands {start: 0, kernel_size: [15, 5], widening: 1}",
    )
    power: float | Logistic = parameter(
        None,
        _of_method("power", _power),
        "exponent of the soft masks; .inf makes them hard; or a logistic {knots: …, slope: …, offset: …}",
        f"a number above 0, or .inf for hard masks, or a block with {', '.join(f.name for f in fields(Logistic))}",
    )
    margin: tuple[float, float] = parameter(
        None,
        _of_method("margin", pair(number(lambda margin: 1 <= margin < math.inf))),
        "how much one part must exceed the other: a number, or [harmonic, percussive]; above 1 leaves a residual",
        "a number from 1 on, or a pair [harmonic, percussive] of them; finite, and often from 1 to 10",
    )
    channels: str = field(
        default="each",
        kw_only=True,
        metadata={
            "check": one_of("each", "joint"),
            "comment": "each with masks of its own; or joint: all of a track have the same, so that the image stays",
            "allowed": "each, joint",
        },
    )

    @property
    def bands(self) -> tuple[Band, ...]:
        """The bands; one, where kernels are the same everywhere."""
        if isinstance(self.kernel_size[0], Band):
            return self.kernel_size
        return (Band(0.0, self.kernel_size),)

    @property
    def title(self) -> str:
        """The method that it is, whatever it was made from; or what it was made from, and what was changed."""
        if self.channels == "joint":
            return f"{replace(self, channels='each').title}, channels joint"
        for name, one in methods.items():
            if replace(self, method=name) == one.hpss:
                return name
        preset = methods[self.method].hpss
        changed = [f.name for f in fields(self) if getattr(self, f.name) != getattr(preset, f.name)]
        return f"{self.method} with another {' and '.join(changed)}"

    @property
    def words(self) -> dict[str, str | tuple[Any, Any]]:
        """Each parameter in a word or two, or as a pair."""
        kernels = f"{len(self.bands)} bands" if isinstance(self.kernel_size[0], Band) else self.kernel_size
        power = "logistic" if isinstance(self.power, Logistic) else f"{self.power:g}"
        joint = {"channels": "joint"} if self.channels == "joint" else {}
        return {"kernel_size": kernels, "power": power, "margin": self.margin, **joint}


@dataclass(frozen=True)
class Method:
    """A method under its name: what it is for, the transform that it is meant for, and how it separates."""

    name: str
    about: str
    stft: StftParams
    hpss: HpssParams


methods = {
    name: Method(name, preset["about"], StftParams(**preset["stft"]), HpssParams(method=name))
    for name, preset in PRESETS.items()
}
"""The methods there are, by name."""
