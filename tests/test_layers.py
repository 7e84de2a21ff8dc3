"""Every folder is a layer: its modules import from their own folder and from layers below, and nothing else."""

import ast
from pathlib import Path

import pytest

import hpss_batch

ROOT = Path(hpss_batch.__file__).parent

LAYERS = [
    ["cli", "__main__"],
    ["console"],
    ["products.demonstration"],
    ["products.report", "products.plots", "products.evaluation", "products.training", "products.computed"],
    ["products"],
    ["verification"],
    ["runner"],
    ["stems"],
    ["tasks"],
    ["cluster"],
    ["cluster.requests"],
    ["config"],
    ["corpus"],
    ["store.reading"],
    ["store.arrays"],
    ["store"],
    ["store.buckets"],
    ["labelled"],
    ["chunked"],
    ["audio"],
    ["audio.speakers"],
    ["audio.containers"],
    ["dsp"],
    ["dsp.kernels"],
    ["files"],
    ["ranges"],
    ["objects"],
    ["paths"],
    ["text", "errors"],
]
"""From the top of the house to its foundation. What stands on one line does not see each other."""

FORBIDDEN = {
    "dsp": {"zarr", "dask", "distributed", "xarray", "soundfile", "obstore", "pydantic", "click", "rich"},
    "audio": {"zarr", "dask", "distributed", "xarray", "obstore", "pydantic", "click", "rich"},
    "store": {"dask", "distributed", "pydantic", "click", "rich"},
    "corpus": {"dask", "distributed", "pydantic", "click", "rich"},
    "chunked": {"xarray", "zarr", "distributed", "soundfile", "obstore"},
    "labelled": {"zarr", "distributed", "soundfile", "obstore"},
    "config": {"dask", "distributed", "zarr", "soundfile", "click", "rich"},
    "runner": {"click", "rich"},
    "verification": {"click", "rich"},
}
"""What a layer, with its sub-folders, has no business with."""

RANKS = {part: len(LAYERS) - row for row, parts in enumerate(LAYERS) for part in parts}
MODULES = sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")


def dotted(path: Path) -> str:
    """The name of a module within the package: "store.layout"."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def layer_of(name: str) -> str:
    """The layer of a module or folder: the longest entry of `LAYERS` that its name begins with."""
    parts = name.split(".")
    heads = [".".join(parts[:n]) for n in range(len(parts), 0, -1)]
    return next((head for head in heads if head in RANKS), "")


def imports(tree: ast.AST, path: str) -> set[str]:
    """All that a module imports, wherever in it, by full name."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: import by full name"
            module = node.module or ""
            found |= {f"{module}.{alias.name}" for alias in node.names}
    return found


def faults(name: str, source: str) -> list[str]:
    """What a module imports and should not, a sentence each."""
    own, said = layer_of(name), []
    for imported in sorted(imports(ast.parse(source), name)):
        top, _, rest = imported.partition(".")
        if top in FORBIDDEN.get(name.split(".")[0], ()):
            said.append(f"{name} must not import {top}")
        if top != "hpss_batch" or own in ("cli", "__main__"):
            continue
        other = layer_of(rest)
        if not other:
            said.append(f"{name} imports {rest}: only users import from the top")
        elif other != own and RANKS[other] >= RANKS[own]:
            said.append(f"{name} imports {imported}, which does not lie below {own}")
    return said


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_module_imports_only_from_below(path: Path) -> None:
    assert faults(dotted(path), path.read_text()) == []


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_every_folder_is_a_layer(path: Path) -> None:
    if path.parent == ROOT:
        assert dotted(path) in RANKS
    else:
        assert ".".join(path.relative_to(ROOT).parent.parts) in RANKS


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("store.arrays.group", "from hpss_batch import __version__"),
        ("dsp.kernels.jit", "from hpss_batch.dsp.hpss import masks"),
        ("dsp.hpss", "from hpss_batch import audio"),
        ("store.layout", "def f():\n    from hpss_batch.corpus.tracks import Track"),
        ("text", "import hpss_batch.errors"),
        ("dsp.kernels.fft", "import zarr.storage"),
        ("audio.probe", "from hpss_batch import run"),
    ],
)
def test_reaching_up_is_found(name: str, source: str) -> None:
    assert len(faults(name, source)) == 1
