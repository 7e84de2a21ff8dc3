"""Which kinds of values do the keys of a job have: whole numbers, texts, lists, places, parameters of `dsp`?

Pydantic's own leniency is not ours (it takes "3" for 3, and true for 1), nor is its strictness (2048.0 is not an
integer to it, and a list no tuple); these types are what people mean. What is wrong beyond its type says the block.
"""

import os
from collections.abc import Mapping
from dataclasses import fields
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    PlainValidator,
)
from pydantic_core import CoreSchema, core_schema

from hpss_batch.config.document import flatten
from hpss_batch.dsp.checks import Check, whole
from hpss_batch.paths import expanded


def _listed(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


def _once(values: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(values)) < len(values):
        raise ValueError
    return values


def _block_or_none(value: Any) -> Any:
    return {True: {}, False: None}[value] if isinstance(value, bool) else value


def _location(value: Any) -> str:
    """Checked by hand: a file name may hold bytes that are not UTF-8, which pydantic's text may not."""
    if not isinstance(value, str | os.PathLike):
        raise ValueError
    path = os.fspath(value)
    if not isinstance(path, str) or not path.strip() or "\0" in path:
        raise ValueError
    return expanded(path)


def _locations(value: Any) -> str | tuple[str, ...]:
    if not isinstance(value, list | tuple):
        return _location(value)
    first, *others = (_location(place) for place in value)
    return (first, *others) if others else first


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


Positive = Annotated[int, PlainValidator(lambda value: whole(1)(value, {}))]
Text = Annotated[str, Field(strict=True, min_length=1)]
Location = Annotated[str, PlainValidator(_location)]
"""A path or a URL; see `expanded`."""

Locations = Annotated[str | tuple[str, ...], PlainValidator(_locations)]
"""One of these, or a list of several; a list of one is the one."""

Listed = BeforeValidator(_listed)
"""A single text stands for a list of one."""

Once = AfterValidator(_once)
OrNone = BeforeValidator(_block_or_none)
"""A block that is asked for by `true`, its keys all defaults, and not by `false` or null."""

Mapped = Annotated[dict[Text, Any], BeforeValidator(_plain)]
"""Names and values that are handed on to somebody else, of the kinds that YAML has."""

Settings = Annotated[dict[Text, Any], BeforeValidator(_settings), BeforeValidator(_plain)]
"""Dask's settings by dotted names, however they were nested."""


class Section(BaseModel):
    """A block of the YAML: frozen, and without keys that nobody reads."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Declared:
    """Marks a dataclass of `dsp` as a block of the YAML: its fields are the keys, and their checks the block's."""

    def __get_pydantic_core_schema__(self, source: type, handler: GetCoreSchemaHandler) -> CoreSchema:
        keys = [
            core_schema.dataclass_field(
                field.name,
                core_schema.with_default_schema(
                    _checked(field.metadata["check"]), default=field.default, validate_default=True
                ),
            )
            for field in fields(source)
        ]
        arguments = core_schema.dataclass_args_schema(source.__name__, keys, extra_behavior="forbid")
        return core_schema.dataclass_schema(source, arguments, [field.name for field in fields(source)])


def _checked(check: Check) -> CoreSchema:
    return core_schema.with_info_plain_validator_function(
        lambda value, info: check(value, info.data),
        serialization=core_schema.plain_serializer_function_ser_schema(_as_given),
    )


def _as_given(value: Any) -> Any:
    """A pair of equals was, or could be, given as a single value."""
    return value[0] if isinstance(value, tuple) and len(value) == 2 and value[0] == value[1] else value
