"""The house has an order: a module imports only from layers above its own, and only what its layer may."""

import ast
from pathlib import Path

import pytest

import hpss_batch

ROOT = Path(hpss_batch.__file__).parent

LAYERS = [
    ["errors"],
    ["dsp"],
    ["chunked"],
    ["labelled", "corpus"],
    ["job"],
    ["products"],
    ["console", "cli", "__main__"],
]
"""From the top: a module may import from its own entry and from those in lines above."""

FORBIDDEN = {
    "dsp": {"zarr", "dask", "distributed", "xarray", "soundfile", "obstore", "pydantic", "click", "rich"},
    "corpus": {"dask", "distributed", "pydantic", "click", "rich"},
    "chunked": {"xarray", "zarr", "distributed", "soundfile", "obstore"},
    "labelled": {"zarr", "distributed", "soundfile", "obstore"},
    "job": {"click", "rich"},
}
"""What a layer has no business with."""

MODULES = sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")


def rank(part: str) -> int:
    return next(number for number, names in enumerate(LAYERS) if part in names)


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: import by full name"
            module = node.module or ""
            found |= (
                {f"{module}.{alias.name}" for alias in node.names} if module == "hpss_batch" else {module}
            )
    return found


def part_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_module_imports_only_from_above(path: Path) -> None:
    own = part_of(path)
    for name in imports(path):
        top, _, rest = name.partition(".")
        assert top not in FORBIDDEN.get(own, set()), f"{own} must not import {top}"
        if top == "hpss_batch" and rest and rest != "__version__":
            other = rest.split(".")[0]
            beside = rank(other) == rank(own) and other != own
            assert rank(other) <= rank(own), f"{own} imports {name}, which is below it"
            assert not beside or own in ("cli", "__main__"), f"{own} imports {name}, which stands beside it"


def test_every_layer_is_there() -> None:
    parts = {part_of(path) for path in MODULES}
    assert parts <= {name for names in LAYERS for name in names}
