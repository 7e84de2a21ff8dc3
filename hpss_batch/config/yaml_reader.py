"""Which values does a YAML text hold, and on which line is each?

YAML is read as people mean it, which is mostly version 1.2: `1e3` is a number, `12:00:00` is text and not 43200
seconds, `0123` is text and not octal, dates are text. `yes`, `no`, `on` and `off` are true and false, as in Dask's own
files. A key that is given twice is an error, and so is one that is not text.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any

import yaml

from hpss_batch.errors import ConfigError

Key = tuple[str | int, ...]
"""Names, and indices of list items, from the outermost block on."""

_STR, _INT, _FLOAT = (f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float"))
_NUMBERS = {
    _INT: re.compile(r"[-+]?(0|[1-9][0-9_]*|0x[0-9a-fA-F]+|0o[0-7]+)$"),
    _FLOAT: re.compile(
        r"[-+]?([0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)([eE][-+]?[0-9]+)?$"
        r"|[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+$|[-+]?\.(inf|Inf|INF)$|\.(nan|NaN|NAN)$"
    ),
}


MOST_VALUES = 100_000
"""Values of a text at most, where aliases repeat some: nine lines can make a billion."""


class _Loader(yaml.SafeLoader):
    """PyYAML's loader, without the surprises of YAML 1.1."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """A value whose tag promises something else (`!!int x`), or a number of too many digits, has a line too."""
        try:
            return super().construct_object(node, deep)
        except (LookupError, ValueError, TypeError, AttributeError) as error:
            kind = node.tag.rpartition(":")[2]
            problem = f"a value that is not of type {kind}, or too long for it"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark) from error


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


def _quoted(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    """Line breaks escaped: PyYAML writes U+0085 and its like as they are, and reads them as newlines."""
    style = None if len(text.splitlines()) <= 1 and text.strip() == text else '"'
    return dumper.represent_scalar(_STR, text, style=style)


_Dumper.add_representer(str, _quoted)


def dump(value: Any) -> str:
    """YAML that `read` reads as the same value; mappings and lists of plain values on one line."""
    text: str = yaml.dump(
        value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=None, width=110
    )
    return text.removesuffix("...\n")


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


def dotted(key: Iterable[str | int]) -> str:
    """A key as people write it: "corpus.include[0]"."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in key)
    return text.removeprefix(".")


def read(text: str, name: str) -> tuple[Any, dict[Key, int]]:
    """Values of one YAML document and the line of each key."""
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None, {}
            if _size(node, {}) > MOST_VALUES:
                raise ConfigError(
                    f"{name} is not a job: written out, its aliases (*name) make more than {MOST_VALUES:,} values"
                )
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
    except RecursionError as error:
        raise ConfigError(f"{name} is not a job: it is nested too deeply") from error


def _size(node: yaml.Node, known: dict[int, int]) -> int:
    """How many values a node holds when each alias is written out; one that contains itself is said later."""
    if id(node) not in known:
        known[id(node)] = 1
        inner = node.value if isinstance(node, yaml.CollectionNode) else ()
        nodes = (part for item in inner for part in (item if isinstance(item, tuple) else (item,)))
        known[id(node)] = 1 + sum(_size(part, known) for part in nodes)
    return known[id(node)]


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
