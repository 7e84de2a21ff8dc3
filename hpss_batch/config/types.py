"""Which kinds of values do the keys of a job have: whole numbers, pairs, patterns, places?

Pydantic's own leniency is not ours (it takes "3" for 3, and true for 1), nor is its strictness (2048.0 is no integer
to it, and a list no tuple); these types are what people mean. What is wrong beyond its type says the block.
"""

import math
import numbers
import operator
import os
import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator

from hpss_batch.config.document import flatten
from hpss_batch.config.messages import Complaints
from hpss_batch.errors import ParameterError
from hpss_batch.store.storage import is_url


def _whole(value: Any) -> Any:
    """Integers of any kind, and floats that are whole: YAML has `1e3`, and people write 2.0."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, bool):
        return value
    try:
        return operator.index(value)
    except TypeError:
        return value


def _number(value: Any) -> Any:
    """Also what YAML has no number for, `inf`, and NumPy's numbers."""
    if isinstance(value, str) and value.strip().lower() in ("inf", "+inf", "infinity"):
        return math.inf
    if type(value) is bool or not isinstance(value, numbers.Real):
        return value
    return float(value)


def _pair(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else (value, value)


def _listed(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


def _once(values: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(values)) < len(values):
        raise ValueError
    return values


def _block_or_none(value: Any) -> Any:
    return {True: {}, False: None}[value] if isinstance(value, bool) else value


def _location(value: Any) -> str:
    """Checked by hand: a file name may hold bytes that are no UTF-8, which pydantic's text may not."""
    if not isinstance(value, str | os.PathLike):
        raise ValueError
    path = os.fspath(value)
    if not isinstance(path, str) or not path.strip() or "\0" in path:
        raise ValueError
    return path if is_url(path) else os.path.expanduser(path)


def _window(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return tuple(_window(part) for part in value)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError
    return value


def _plain(value: Any) -> Any:
    """What YAML holds, of whatever is meant for others: their errors come late, and a run's YAML keeps it all."""
    if isinstance(value, Mapping):
        if not all(isinstance(name, str) for name in value):
            raise ValueError
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    plain = value.item() if hasattr(value, "item") else value
    if plain is not None and not isinstance(plain, str | bool | int | float):
        raise ValueError
    return plain


def _settings(value: Any) -> Any:
    return dict(flatten(value)) if isinstance(value, Mapping) else value


Whole = Annotated[int, BeforeValidator(_whole), Field(strict=True)]
Positive = Annotated[int, BeforeValidator(_whole), Field(strict=True, ge=1)]
Number = Annotated[float, BeforeValidator(_number), Field(strict=True)]
Pair = BeforeValidator(_pair)
"""A single value stands for both of a pair."""

Text = Annotated[str, Field(strict=True, min_length=1)]
Flag = Annotated[bool, Field(strict=True)]
Location = Annotated[str, PlainValidator(_location)]
"""A path, `~` expanded, or a URL."""

Listed = BeforeValidator(_listed)
"""A single text stands for a list of one."""

Once = AfterValidator(_once)
OrNone = BeforeValidator(_block_or_none)
"""A block that is asked for by `true`, its keys all defaults, and not by `false` or null."""

Window = Annotated[str | tuple[Any, ...], PlainValidator(_window)]
Mapped = Annotated[dict[Text, Any], BeforeValidator(_plain)]
"""Names and values that are handed on to somebody else, of the kinds that YAML has."""

Settings = Annotated[dict[Text, Any], BeforeValidator(_settings), BeforeValidator(_plain)]
"""Dask's settings by dotted names, however they were nested."""


class Block(BaseModel):
    """A block of the YAML: frozen, and without keys that nobody reads."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


def defaults(block: type[Block]) -> dict[str, Any]:
    """Values of a block that nobody changed."""
    return {name: info.default for name, info in block.model_fields.items()}


def deep_check(block: Block, build: Callable[[dict[str, Any]], object]) -> None:
    """Complain of every value that the block's dataclass refuses.

    It raises at the first, and says its name first; so each refused value gives way to its default until the rest
    is accepted. What the default then collides with was no mistake of the user's.
    """
    values, items = dict(block), dict[str, str]()
    while True:
        try:
            build(values)
        except ParameterError as error:
            sentence = str(error)
            name = next((name for name in values if re.match(rf"{name}\b", sentence)), None)
            if name is None or name in items:
                items.setdefault("", sentence)
                break
            items[name] = sentence
            values[name] = type(block).model_fields[name].default
        else:
            break
    blamed = list(items)
    kept = [
        (name, sentence)
        for at, (name, sentence) in enumerate(items.items())
        if not any(re.search(rf"\b{other}\b", sentence) for other in blamed[:at])
    ]
    if kept:
        raise Complaints(kept)
