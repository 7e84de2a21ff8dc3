"""What does a job's YAML say, and on which line does it say it?

A `Document` holds the plain values of a YAML text, changed by `--set` arguments, and for every key the place where
it was given, so that a complaint about a value can name its line or its argument.

YAML is read as people mean it, which is mostly version 1.2: `1e3` is a number, `12:00:00` is text and not 43200
seconds, `0123` is text and not octal, dates are text. `yes`, `no`, `on` and `off` are true and false, as elsewhere in
Dask. A key that is given twice is an error, and so is one that is not text.
"""

import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from hpss_batch.errors import ConfigError

Key = tuple[str | int, ...]
Override = str | tuple[str, Any]

_STR, _INT, _FLOAT = (f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float"))
_NUMBERS = {
    _INT: re.compile(r"[-+]?(0|[1-9][0-9_]*|0x[0-9a-fA-F_]+|0o[0-7_]+)$"),
    _FLOAT: re.compile(
        r"[-+]?([0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)([eE][-+]?[0-9]+)?$"
        r"|[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+$|[-+]?\.(inf|Inf|INF)$|\.(nan|NaN|NAN)$"
    ),
}


class _Loader(yaml.SafeLoader):
    """PyYAML's loader, without the surprises of YAML 1.1."""


class _Dumper(yaml.SafeDumper):
    """Quotes whatever either dialect would take for something else than text."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


_REPLACED = (_INT, _FLOAT, "tag:yaml.org,2002:timestamp")
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _REPLACED]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _tag, _pattern in _NUMBERS.items():
    _Loader.add_implicit_resolver(_tag, _pattern, list("-+.0123456789"))
    _Dumper.add_implicit_resolver(_tag, _pattern, list("-+.0123456789"))


def dump(value: Any) -> str:
    """YAML that `Document.read` reads as the same value; mappings and lists of plain values on one line."""
    text: str = yaml.dump(
        value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=None, width=110
    )
    return text.removesuffix("...\n")


@dataclass
class Document:
    """Values of a job, and where they were given.

    Attributes
    ----------
    value
        The values; a mapping.
    name
        What to call the text in messages: its file. None for values that come from Python.
    lines
        Line of each key and list item, counted from 1.
    arguments
        The `--set` argument behind a key, if one is.
    """

    value: dict[str, Any]
    name: str | None = None
    lines: dict[Key, int] = field(default_factory=dict)
    arguments: dict[Key, str] = field(default_factory=dict)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Document":
        """Read a YAML file; a file that is missing, unreadable or no YAML raises `ConfigError`."""
        name = os.fspath(path)
        try:
            data = Path(path).expanduser().read_bytes()
        except IsADirectoryError as error:
            raise ConfigError(
                f"{name} is a folder, not a job's YAML file; a run directory has its job in {Path(name, 'job.yaml')}"
            ) from error
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ConfigError(f"{name} cannot be read: {reason}; `hpss-batch init` writes a job") from error
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            raise ConfigError(f"{name}, line {line}: byte {data[error.start]:#x} is not UTF-8") from error
        return cls.read(text, name)

    @classmethod
    def read(cls, text: str, name: str = "the job") -> "Document":
        """Values and lines of a YAML text."""
        value, lines = _read(text, name)
        if value is None:
            raise ConfigError(f"{name} is empty; `hpss-batch init` writes a job with every key explained")
        if not isinstance(value, dict):
            raise ConfigError(
                f"{name}, line {lines[()]}: a job is a mapping, `corpus: {{path: music/}}` and so on, not {show(value)}"
            )
        return cls(value, name, lines)

    def override(self, overrides: Iterable[Override]) -> None:
        """Set keys: "hpss.margin=3", the value in YAML, or ("hpss.margin", 3). Later ones win."""
        for given in overrides:
            if isinstance(given, str):
                dotted, equals, text = given.partition("=")
                argument = f"--set {given}"
                if not equals or not dotted.strip():
                    raise ConfigError(f"{argument}: allowed is key=value, such as hpss.margin=3")
                value = _argument_value(text, argument)
            else:
                dotted, value = given
                argument = f"{dotted} as given"
            key: Key = tuple(dotted.strip().split("."))
            if (
                key[0] == "dask" and len(key) > 1
            ):  # names of Dask's settings hold dots, or are nested: both are one
                key = ("dask", ".".join(map(str, key[1:])))
                self._flatten_dask(f"{key[1]}.")
            self._set(key, value, argument)

    def _set(self, key: Key, value: Any, argument: str) -> None:
        block = self.value
        for depth, part in enumerate(key[:-1], 1):
            inner = block.get(part)  # type: ignore[call-overload]
            if inner is None or (inner is True and depth > 1):
                inner = {}
            elif not isinstance(inner, Mapping):
                where = self.place(key[:depth])
                raise ConfigError(
                    f"{argument}: {dotted(key[:depth])} is {show(inner)} ({where or 'given'}), which has no keys"
                )
            block[part] = block = dict(inner)  # type: ignore[index]
        block[key[-1]] = value  # type: ignore[index]
        self.arguments[key] = argument

    def _flatten_dask(self, replaced: str) -> None:
        """Bring what is set so far into the form that an override has, without what it replaces."""
        settings = self.value.get("dask")
        if isinstance(settings, Mapping):
            flat = dict(flatten(settings))
            self.value["dask"] = {k: v for k, v in flat.items() if not f"{k}.".startswith(replaced)}

    def place(self, key: Key) -> str:
        """Where a key, or what it is part of, was given: "job.yaml, line 3"; empty if there is nothing to say."""
        known = self._known(key)
        if known in self.arguments:
            return self.arguments[known]
        return f"{self.name}, line {self.lines[known]}" if known else self.name or ""

    def order(self, key: Key) -> int:
        """By which complaints are sorted: the lines of the text, and then the arguments."""
        known = self._known(key)
        return sys.maxsize if known in self.arguments else self.lines.get(known, 0)

    def _known(self, key: Key) -> Key:
        """The innermost part of a key that has a place."""
        parts = (key[:end] for end in range(len(key), 0, -1))
        return next((part for part in parts if part in self.arguments or part in self.lines), ())


def dotted(key: Iterable[str | int]) -> str:
    """A key as people write it: "corpus.include[0]"."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in key)
    return text.removeprefix(".")


def flatten(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested mappings as dotted names and values: ("distributed.worker.memory.target", 0.8).

    A mapping whose own keys hold dots (`logging: {distributed.client: info}`), or that is empty, is a value.
    """
    for name, value in settings.items():
        nested = isinstance(value, Mapping) and value and not any("." in str(key) for key in value)
        if nested:
            yield from flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def inline(value: Any) -> str:
    """A value as YAML on one line."""
    text: str = yaml.dump(value, Dumper=_Dumper, default_flow_style=True, allow_unicode=True, width=10**6)
    return text.removesuffix("...\n").strip()


def show(value: Any) -> str:
    """A value as a message has it: YAML, text always in quotes, and not too long."""
    try:
        text = inline(list(value) if isinstance(value, tuple) else value)
    except yaml.YAMLError:  # a value from Python that YAML does not know
        text = repr(value)
    if isinstance(value, str) and not text.startswith(("'", '"')):
        text = f"'{text}'"
    return text if len(text) <= 80 else f"{text[:77]}..."


def _argument_value(text: str, argument: str) -> Any:
    try:
        return _read(text, argument)[0]
    except ConfigError:
        if text.lstrip()[:1] in (
            "*",
            "@",
            "%",
            "`",
        ):  # `corpus.include=*.flac` is no YAML, and clear all the same
            return text.strip()
        raise


def _read(text: str, name: str) -> tuple[Any, dict[Key, int]]:
    """Values of one YAML document and the line of each key."""
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None, {}
            lines: dict[Key, int] = {}
            problems = [f"{name}, line {line}: {problem}" for line, problem in _walk(node, (), lines, {})]
            if problems:
                raise ConfigError("\n".join(problems))
            return loader.construct_document(node), lines
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        hint = "; indent with spaces, not tabs" if "'\\t'" in str(error.problem) else ""
        context = f" {error.context}" if error.context else ""
        raise ConfigError(f"{name}{line} is not YAML: {error.problem}{context}{hint}") from error
    except yaml.reader.ReaderError as error:
        line_number = text.count("\n", 0, error.position) + 1
        raise ConfigError(
            f"{name}, line {line_number}: character {error.character!r} is not allowed in YAML"
        ) from error
    except (RecursionError, ValueError) as error:
        if isinstance(error, ConfigError):
            raise
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise ConfigError(f"{name} is not a job: {reason}") from error


def _walk(
    node: yaml.Node, key: Key, lines: dict[Key, int], seen: dict[int, bool]
) -> Iterator[tuple[int, str]]:
    """Note the line of every key below a node; yield what is wrong with the keys, line by line.

    What an alias (`*name`) repeats is not walked again: its lines are those of the alias.
    """
    lines.setdefault(key, node.start_mark.line + 1)
    if id(node) in seen:
        if seen[id(node)]:
            yield node.start_mark.line + 1, f"{dotted(key)} contains itself"
        return
    seen[id(node)] = True
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _walk(item, (*key, index), lines, seen)
    elif isinstance(node, yaml.MappingNode):
        first: dict[str, int] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if key_node.tag == "tag:yaml.org,2002:merge":
                yield from _walk(value_node, (*key, "<<"), lines, seen)
                continue
            if key_node.tag != _STR:
                what = f"{key_node.value} is" if isinstance(key_node, yaml.ScalarNode) else "this key is"
                yield line, f"{what} no name, and keys are names: put it into quotes if it is meant as one"
                continue
            name = key_node.value
            if name in first:
                yield (
                    line,
                    f"{dotted((*key, name))} is given a second time; the first is on line {first[name]}",
                )
            first.setdefault(name, line)
            lines.setdefault((*key, name), line)
            yield from _walk(value_node, (*key, name), lines, seen)
    seen[id(node)] = False
