"""Which values may a parameter have, and how is that said?

A dataclass with the base `Parameters` checks its fields, in their order, when it is made. Each field (`parameter`)
carries its check and its words; a job's YAML has the same: the comment in its template, what is allowed in its errors.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from hpss_batch.errors import ParameterError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Float64 = npt.NDArray[np.float64]

Check = Callable[[Any, Mapping[str, Any]], Any]
"""Takes a value, and those of the fields before it that are allowed; returns the value as it is kept.

A value that is not allowed raises `ValueError`, with the indices of its wrong items if it is a list of some; where the
words of the field do not say it all, `ParameterError`, a sentence that begins with the field's name.
"""


def parameter(default: Any, check: Check, comment: str, allowed: str) -> Any:
    """A field of a dataclass of parameters: its default, its check, what it is, and what is allowed."""
    return field(default=default, metadata={"check": check, "comment": comment, "allowed": allowed})


@dataclass(frozen=True)
class Parameters:
    """Base of the dataclasses of parameters: their values are allowed, and of plain types.

    Raises
    ------
    ParameterError
        Naming the first value that is not allowed.
    """

    def __post_init__(self) -> None:
        accepted: dict[str, Any] = {}
        for each in fields(self):
            value = getattr(self, each.name)
            try:
                accepted[each.name] = each.metadata["check"](value, accepted)
            except ParameterError:
                raise
            except ValueError as error:
                allowed = each.metadata["allowed"]
                raise ParameterError(f"{each.name} is {value!r}; allowed: {allowed}") from error
            object.__setattr__(self, each.name, accepted[each.name])


def whole(least: int) -> Check:
    """Integers of any kind, and floats that are whole: YAML has `1e3`, and people write 2.0."""

    def check(value: Any, _: Mapping[str, Any]) -> int:
        try:
            number = int(value) if isinstance(value, float) and value.is_integer() else operator.index(value)
        except TypeError as error:
            raise ValueError from error
        if isinstance(value, bool) or number < least:
            raise ValueError
        return number

    return check


def number(is_allowed: Callable[[float], bool]) -> Check:
    """Numbers of any kind, and infinity as text, which YAML has no number for."""

    def check(value: Any, _: Mapping[str, Any]) -> float:
        if isinstance(value, bool | str) and str(value).strip().lower() not in ("inf", "+inf", "infinity"):
            raise ValueError
        try:
            found = float(value)
        except (TypeError, OverflowError) as error:
            raise ValueError from error
        if not is_allowed(found):
            raise ValueError
        return found

    return check


def pair(of: Check) -> Check:
    """A (harmonic, percussive) pair; a single value stands for both."""

    def check(value: Any, earlier: Mapping[str, Any]) -> tuple[Any, Any]:
        harmonic, percussive = value if isinstance(value, tuple | list) else (value, value)
        return of(harmonic, earlier), of(percussive, earlier)

    return check


def one_of(*names: str) -> Check:
    """One of some names."""

    def check(value: Any, _: Mapping[str, Any]) -> str:
        return names[names.index(value)]

    return check


def some_of(*names: str) -> Check:
    """At least one of some names, each at most once; a single one stands for a list of it."""

    def check(value: Any, _: Mapping[str, Any]) -> tuple[str, ...]:
        given = (value,) if isinstance(value, str) else value
        if not isinstance(given, tuple | list) or not given:
            raise ValueError
        wrong = [index for index, name in enumerate(given) if name not in names]
        if wrong or len(set(given)) < len(given):
            raise ValueError(*wrong)
        return tuple(given)

    return check


def or_none(of: Check) -> Check:
    """None, or what another check allows."""

    def check(value: Any, earlier: Mapping[str, Any]) -> Any:
        return None if value is None else of(value, earlier)

    return check


def flag(value: Any, _: Mapping[str, Any]) -> bool:
    """True or false, also NumPy's."""
    plain = value.item() if hasattr(value, "item") else value
    if not isinstance(plain, bool):
        raise ValueError
    return plain


@lru_cache(maxsize=64)
def window_weights(window: str | tuple[Any, ...], win_length: int) -> Float64:
    """The window itself, or an error if SciPy has none of that name, those parameters and that length."""
    import numpy as np

    remedy = "give one that scipy.signal.get_window knows, such as 'hann' or ('kaiser', 14.0)"
    try:
        weights = _get_window(window, win_length)
    except (ValueError, TypeError, IndexError, KeyError) as error:
        raise ParameterError(f"window={window!r} is not allowed ({error}): {remedy}") from error
    if not np.isfinite(weights).all() or not weights.any():
        raise ParameterError(f"window={window!r} of {win_length} samples is zero or not finite: {remedy}")
    return weights


def _get_window(window: str | tuple[Any, ...], win_length: int) -> Float64:
    """`scipy.signal.get_window`, but for the usual one without the second that it takes to import."""
    import numpy as np

    if window == "hann":
        if win_length == 1:
            return np.ones(1)
        return 0.5 + 0.5 * np.cos(np.linspace(-np.pi, np.pi, win_length + 1)[:-1])
    import scipy.signal

    return np.asarray(scipy.signal.get_window(window, win_length, fftbins=True), np.float64)
