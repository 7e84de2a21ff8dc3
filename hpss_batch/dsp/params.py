"""With which parameters is a spectrogram separated, and are they allowed?"""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass
from typing import Any

from hpss_batch.errors import ParameterError


@dataclass(frozen=True)
class HpssParams:
    """The parameters of a separation, checked. `HpssParams.of` takes single numbers as well.

    Attributes
    ----------
    kernel_size
        Lengths of the harmonic median (in frames) and of the percussive one (in bins), each at least 1.
    power
        Exponent of the soft masks, above 0; infinity makes them hard, and then ties belong to neither.
    margin
        Factors, at least 1, by which the harmonic median must exceed the percussive one, and vice versa.
    """

    kernel_size: tuple[int, int] = (31, 31)
    power: float = 2.0
    margin: tuple[float, float] = (1.0, 1.0)

    def __post_init__(self) -> None:
        sizes = tuple(_whole(size) for size in _pair("kernel_size", self.kernel_size))
        margins = tuple(_number("margin", margin) for margin in _pair("margin", self.margin))
        power = _number("power", self.power)
        if not all(1 <= margin < math.inf for margin in margins):
            raise ParameterError(f"margin is {margins}; allowed are finite numbers from 1 on (often 1 to 10)")
        if not power > 0:
            raise ParameterError(f"power is {power}; allowed are numbers above 0, infinity for hard masks")
        object.__setattr__(self, "kernel_size", sizes)
        object.__setattr__(self, "power", power)
        object.__setattr__(self, "margin", margins)

    @classmethod
    def of(cls, kernel_size: Any = 31, power: Any = 2.0, margin: Any = 1.0) -> HpssParams:
        """Parameters as librosa takes them: kernel_size and margin a number or a (harmonic, percussive) pair."""
        sizes, margins = (v if isinstance(v, tuple | list) else (v, v) for v in (kernel_size, margin))
        return cls(tuple(sizes), power, tuple(margins))

    @property
    def halo(self) -> int:
        """Frames of context that a region needs on each side, for its masks to be those of the whole."""
        return self.kernel_size[0] // 2


def _pair(name: str, value: Any) -> tuple[Any, Any]:
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise ParameterError(f"{name} is {value!r}; allowed are a number or a pair (harmonic, percussive)")
    return value[0], value[1]


def _whole(size: Any) -> int:
    try:
        whole = operator.index(size)
    except TypeError:
        whole = int(size) if isinstance(size, float) and size.is_integer() else 0
    if whole < 1 or isinstance(size, bool):
        raise ParameterError(f"kernel_size has {size!r}; allowed are whole numbers from 1 on")
    return whole


def _number(name: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise ParameterError(f"{name} has {value!r}, which is not a number") from error
