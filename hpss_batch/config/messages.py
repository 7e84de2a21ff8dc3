"""What is wrong with a job, in words that name the key, what was found, what is allowed, and the line?

Pydantic finds the errors, all at once; here each becomes one line of a `ConfigError`. What is allowed is said once,
where a key is declared (`key`), and what depends on several keys by a validator that raises `Complaints`.
"""

import difflib
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from pydantic import BaseModel, Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from hpss_batch.config.document import Document
from hpss_batch.config.yaml_reader import Key, dotted, show
from hpss_batch.errors import ConfigError, ParameterError

Blocks = type[Any]
"""What declares the keys of a block: a model, or a dataclass of `dsp`."""


def key(default: Any, comment: str, allowed: str, *, alias: str | None = None) -> Any:
    """A key of the YAML: its default (`...` if it must be given), what it is, and what is allowed."""
    return Field(default, description=comment, alias=alias, json_schema_extra={"allowed": allowed})


class Complaints(ValueError):
    """Raised by a validator of a block: (key within the block, sentence that begins with that key)."""

    def __init__(self, items: Sequence[tuple[str, str]]) -> None:
        super().__init__("; ".join(sentence for _, sentence in items))
        self.items = items


def config_error(error: ValidationError, model: Blocks, document: Document) -> ConfigError:
    """All problems of a job, one on each line, in the order of the text."""
    found: dict[str, Key] = {}
    for details in error.errors(include_url=False):
        for where, sentence in _problems(details, model, document):
            found.setdefault(sentence, where)
    problems = []
    for sentence, where in sorted(found.items(), key=lambda item: document.order(item[1])):
        place = document.place(where)
        problems.append(f"{place}: {sentence}" if place else sentence)
    return ConfigError("\n".join(problems))


def _problems(details: ErrorDetails, model: Blocks, document: Document) -> Iterator[tuple[Key, str]]:
    kind, location = details["type"], tuple(details["loc"])
    if kind in ("extra_forbidden", "unexpected_keyword_argument"):
        yield location, _unknown(location, model)
        return
    if kind == "missing":
        info = field_at(model, location)
        assert info is not None
        yield location, f"{dotted(location)} is missing; it is needed: {info.description}"
        return
    if kind == "invalid_key":
        yield location[:-1], f"{dotted(location[:-1]) or 'a job'} has the key {location[-1]!r}; keys are text"
        return
    raised = details.get("ctx", {}).get("error")
    if isinstance(raised, Complaints):
        for name, sentence in raised.items:
            prefix = f"{dotted(location)}." if location else ""
            yield (*location, *name.split(".")), prefix + sentence
        return
    if isinstance(raised, ParameterError):
        yield location, f"{dotted(location[:-1])}.{raised}"
        return
    items = [index for index in getattr(raised, "args", ()) if isinstance(index, int)]
    for place in [(*location, index) for index in items] or [location]:
        where, value = _found(document.value, place)
        allowed = _allowed(model, where)
        yield where, f"{dotted(where)} is {show(value)}; allowed: {allowed}{_hint(value, kind, allowed)}"


def _found(data: Any, location: Key) -> tuple[Key, Any]:
    """The innermost value on the way to a location. (A location also holds which way a union was tried.)"""
    for end, part in enumerate(location):
        inside = (
            part in data
            if isinstance(data, Mapping)
            else isinstance(data, list | tuple) and part in range(len(data))
        )
        if not inside:
            return location[:end], data
        data = data[part]
    return location, data


def _allowed(model: Blocks, location: Key) -> str:
    for end in range(len(location), 0, -1):
        info = field_at(model, location[:end])
        if info is not None and isinstance(info.json_schema_extra, dict):
            return str(info.json_schema_extra["allowed"])
        block = block_of(info)
        if block is not None:
            return f"a block with the keys {', '.join(keys(block))}"
    return f"a block with the keys {', '.join(keys(model))}"


def _hint(value: Any, kind: str, allowed: str) -> str:
    if isinstance(value, bool) and kind != "bool_type":
        return " (YAML reads yes, no, on and off as true and false: put text into quotes)"
    if isinstance(value, int | float) and kind == "string_type":
        return " (put it into quotes if it is meant as text)"
    if (
        isinstance(value, str)
        and value[:1].isdigit()
        and allowed.startswith(("a number", "a whole", "a multiple"))
    ):
        return " (this is text, not a number)"
    return ""


def _unknown(location: Key, model: Blocks) -> str:
    *parents, name = location
    block = block_of(field_at(model, tuple(parents))) if parents else model
    assert block is not None
    here = list(keys(block))
    sentence = f"{dotted(location)} is not a key"
    known = {dotted(path): path[-1] for path in _all_keys(model)}
    found = sorted((path for path, last in known.items() if last == name), key=lambda path: path.count("."))
    elsewhere = [path for path in found if path.count(".") == found[0].count(".")]  # not deep within a block
    close = difflib.get_close_matches(str(name).lower().replace("-", "_"), here, n=1)
    if close:
        return f"{sentence}; did you mean {dotted((*parents, close[0]))}?"
    if elsewhere:
        return f"{sentence}; did you mean {' or '.join(elsewhere)}?"
    where = f"of {dotted(parents)}" if parents else "of a job"
    return f"{sentence}; the keys {where} are {', '.join(here)}"


def _all_keys(model: Blocks, parents: Key = ()) -> Iterator[Key]:
    for name, info in keys(model).items():
        path = (*parents, name)
        yield path
        block = block_of(info)
        if block is not None:
            yield from _all_keys(block, path)


def keys(block: Blocks) -> dict[str, FieldInfo]:
    """The keys of a block, as the YAML has them, and their declarations."""
    if is_dataclass(block):
        return {f.name: key(f.default, f.metadata["comment"], f.metadata["allowed"]) for f in fields(block)}
    return {info.alias or name: info for name, info in block.model_fields.items()}


def field_at(model: Blocks, location: Key) -> FieldInfo | None:
    """The declaration of a key; None where there is none."""
    info: FieldInfo | None = None
    block: Blocks | None = model
    for part in location:
        info = None if block is None else keys(block).get(str(part))
        block = block_of(info)
    return info


def block_of(info: FieldInfo | None) -> Blocks | None:
    """What declares the keys of a key that is a block itself, also where it may be null."""
    annotation = None if info is None else info.annotation
    for option in (annotation, *typing.get_args(annotation)):
        block = getattr(option, "__origin__", option)
        if isinstance(block, type) and (issubclass(block, BaseModel) or is_dataclass(block)):
            return block
    return None
