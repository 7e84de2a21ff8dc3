"""Which values may a parameter have, and how is that said?

A dataclass with the base `Parameters` checks its fields, in their order, when it is made. Each field (`parameter`)
carries its check and its words; a job's YAML has the same: the comment in its template, what is allowed in its errors.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from hpss_batch.errors import ParameterError

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
