"""What is a job given, by its YAML and by the `--set` arguments on top, and where was each key given?

A `Document` holds plain values, and for every key its line or its argument, so that a complaint about a value can
say where it came from.
"""

import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hpss_batch.config.yaml_reader import Key, dotted, read, show
from hpss_batch.errors import ConfigError

Override = str | tuple[str, Any]
"""As after `--set`, "hpss.margin=3", the value in YAML; or a key and a value, ("hpss.margin", 3)."""


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
        return cls.decode(data, name)

    @classmethod
    def decode(cls, data: bytes, name: str) -> "Document":
        """Values and lines of a YAML file's bytes."""
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            raise ConfigError(f"{name}, line {line}: byte {data[error.start]:#x} is not UTF-8") from error
        return cls.read(text, name)

    @classmethod
    def read(cls, text: str, name: str = "the job") -> "Document":
        """Values and lines of a YAML text."""
        value, lines = read(text, name)
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
                name, equals, text = given.partition("=")
                argument = f"--set {given}"
                if not equals or not name.strip():
                    raise ConfigError(f"{argument}: allowed is key=value, such as hpss.margin=3")
                value = _argument_value(text, argument)
            else:
                name, value = given
                argument = ""
            key = tuple(name.strip().split("."))
            if (
                key[0] == "dask" and len(key) > 1
            ):  # Dask's names hold dots; nested or not, they are one key here
                key = ("dask", ".".join(key[1:]))
                self._flatten_dask(f"{key[1]}.")
            self._set(key, value, argument)

    def _set(self, key: tuple[str, ...], value: Any, argument: str) -> None:
        block = self.value
        for depth, part in enumerate(key[:-1], 1):
            inner = block.get(part)
            if inner is None or (inner is True and depth > 1):
                inner = {}
            elif not isinstance(inner, Mapping):
                where = f" ({place})" if (place := self.place(key[:depth])) else ""
                raise ConfigError(
                    f"{argument or dotted(key)}: {dotted(key[:depth])} is {show(inner)}{where}, and has no keys"
                )
            block[part] = block = dict(inner)
        block[key[-1]] = value
        self.lines = {known: line for known, line in self.lines.items() if known[: len(key)] != key}
        self.arguments = {known: text for known, text in self.arguments.items() if known[: len(key)] != key}
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
        """The key, else one that an argument gave below it, else the innermost block that has a place."""
        if key in self.arguments or key in self.lines:
            return key
        below = (argument for argument in self.arguments if argument[: len(key)] == key)
        above = (key[:end] for end in range(len(key) - 1, 0, -1))
        known = (part for part in above if part in self.arguments or part in self.lines)
        return next(below, next(known, ()))


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


def _argument_value(text: str, argument: str) -> Any:
    try:
        return read(text, argument)[0]
    except ConfigError as error:
        if text.lstrip().startswith(("*", "@", "%", "`")) or _is_template(text):
            return text.strip()  # `*.flac` and `{id}.{component}` are clear, if no YAML
        problem = getattr(error.__cause__, "problem", None) or error
        raise ConfigError(f"{argument}: the value is not YAML: {problem}") from error


def _is_template(text: str) -> bool:
    """Whether a text that is not YAML is one with names in braces, `{id}.{component}`."""
    return re.fullmatch(r"[^{}:]*(\{\w+\}[^{}:]*)+", text) is not None
