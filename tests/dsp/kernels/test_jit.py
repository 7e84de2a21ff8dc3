"""Code is compiled once a machine, and whatever happens to the folder that keeps it, functions work."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import llvmlite.binding as llvm
import numpy as np
import pytest

from hpss_batch.dsp.hpss import hpss
from hpss_batch.dsp.kernels import jit

SEPARATE = """
import hashlib, sys
import numpy as np
from hpss_batch.dsp.kernels import jit
from hpss_batch.dsp.hpss import hpss, masks
from hpss_batch.dsp.kernels.median import running_rank
from hpss_batch.dsp.methods import Band, HpssParams
from hpss_batch.dsp.separation import Grid, separation

assert "numba" not in sys.modules and "llvmlite" in sys.modules
rng = np.random.default_rng(5)
digest = hashlib.sha256()
for dtype, sizes, power, margin in (
    ("f4", 31, 2.0, 1.0), ("f8", (5, 17), 1.0, 1.0), ("f4", (17, 8), 2.0, (1.0, 5.0)), ("f4", 5, float("inf"), 1.0),
):
    S = rng.random((97, 83)).astype(dtype) * (rng.random((97, 83)) > 0.1)
    for mask in hpss(S.astype(dtype), kernel_size=sizes, power=power, margin=margin, mask=True):
        digest.update(mask.tobytes())
D = (rng.standard_normal((40, 50)) + 1j * rng.standard_normal((40, 50))).astype("c8")
for component in hpss(D, kernel_size=8):
    digest.update(component.tobytes())
digest.update(running_rank(rng.standard_normal((70, 90)).astype("f4"), 31, 3, axis=0).tobytes())
S = (10.0 ** rng.uniform(-38, 38, (97, 83))).astype("f4")
for kernels in (None, [Band(0, (5, 9), 3), Band(999, (401, 5))]):
    for margin in (1.0, (1.5, 3.0)):
        params = HpssParams(kernels, margin=margin, method="banded")
        for mask in masks(S, separation(params, Grid(83, 60.0, 0.02))):
            digest.update(mask.tobytes())
print(digest.hexdigest(), jit.machine().register_bytes)
"""


def start(cache: Path, **environment: str) -> subprocess.Popen[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("NUMBA_", "HPSS_"))}
    return subprocess.Popen(
        [sys.executable, "-c", SEPARATE],
        env=kept | {"HPSS_BATCH_CACHE_DIR": str(cache)} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> str:
    out, error = process.communicate()
    assert process.returncode == 0, error
    return out


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache") / "not yet there"


@pytest.fixture(scope="module")
def twenty(cache: Path) -> set[str]:
    """What twenty processes print that start at once with nothing compiled."""
    processes = [start(cache) for _ in range(20)]
    return {finish(process) for process in processes}


def test_twenty_processes_start_at_once_on_a_cold_cache(twenty: set[str], cache: Path) -> None:
    assert len(twenty) == 1
    assert {path.suffix for path in cache.iterdir()} == {".o"}


def test_what_is_kept_is_used(twenty: set[str], cache: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in cache.iterdir()}
    assert {finish(start(cache))} == twenty
    assert {path: path.stat().st_mtime_ns for path in cache.iterdir()} == before


def test_a_damaged_file_is_compiled_anew(twenty: set[str], cache: Path) -> None:
    for number, path in enumerate(sorted(cache.iterdir())):
        whole = path.read_bytes()
        middle = len(whole) // 2
        path.write_bytes(
            [b"", whole[:middle], whole[:middle] + b"?" + whole[middle + 1 :], b"text"][number % 4]
        )
    assert {finish(start(cache))} == twenty
    assert {finish(start(cache))} == twenty


def test_nothing_is_kept_where_nothing_can_be_written(twenty: set[str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    assert {finish(start(tmp_path / "file" / "cache"))} == twenty
    assert (tmp_path / "file").read_text() == "not a folder"
    read_only = tmp_path / "read only"
    read_only.mkdir(mode=0o500)
    assert {finish(start(read_only))} == twenty


@pytest.mark.parametrize(
    ("cpu", "register"),
    [("generic", 16)]
    + [("x86-64-v2", 16), ("x86-64-v3", 32)] * (platform.machine() in ("x86_64", "AMD64"))
    + [("x86-64-v4", 64)] * llvm.get_host_cpu_features().get("avx512vl", False),
)
def test_bits_are_the_same_on_lesser_processors(
    twenty: set[str], tmp_path: Path, cpu: str, register: int
) -> None:
    digest, size = finish(start(tmp_path, NUMBA_CPU_NAME=cpu)).split()
    assert {digest} == {line.split()[0] for line in twenty}
    assert int(size) == register


def test_the_folder_is_where_it_was_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("HPSS_BATCH_CACHE_DIR", "NUMBA_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(
        os.path, "expanduser", lambda path: path
    )  # no HOME, and no such user, as in a container
    assert jit.cache_folder() is None
    monkeypatch.undo()
    for name in ("HPSS_BATCH_CACHE_DIR", "NUMBA_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert jit.cache_folder() == tmp_path / ".cache" / "hpss_batch"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert jit.cache_folder() == tmp_path / "xdg" / "hpss_batch"
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "numba"))
    assert jit.cache_folder() == tmp_path / "numba" / "hpss_batch"
    monkeypatch.setenv("HPSS_BATCH_CACHE_DIR", str(tmp_path / "own"))
    assert jit.cache_folder() == tmp_path / "own"


def test_comparing_integers_and_floats_gives_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from hpss_batch.dsp.kernels import passes

    S = np.random.default_rng(3).random((60, 70), np.float32) - np.float32(0.3)
    S = np.maximum(S, -0.0)
    found = []
    for integer_order in (False, True):
        one = replace(jit.machine(), integer_order=integer_order)
        monkeypatch.setattr(passes, "machine", lambda one=one: one)
        passes.rank_block.cache_clear()
        found.append(hpss(S, kernel_size=(9, 16), mask=True))
    passes.rank_block.cache_clear()
    np.testing.assert_array_equal(found[0], found[1])


def test_a_folder_that_others_may_write_to_is_not_shared(
    twenty: set[str], cache: Path, tmp_path: Path
) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    assert {finish(start(shared))} == twenty
    (own,) = shared.iterdir()
    assert own.name == f"user-{os.getuid()}"
    assert own.stat().st_mode & 0o777 == 0o700
    kept = {path: path.read_bytes() for path in own.iterdir()}
    assert kept
    own.chmod(0o777)  # somebody else may have put into it what they like: nothing is read, or written
    for path in kept:
        path.write_bytes(b"damaged")
    assert {finish(start(shared))} == twenty
    assert {path.read_bytes() for path in kept} == {b"damaged"}


def test_files_that_others_may_write_to_are_not_loaded(
    twenty: set[str], cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own"
    assert {finish(start(own))} == twenty
    assert own.stat().st_mode & 0o777 == 0o700
    before = {path: path.stat().st_ino for path in own.iterdir()}
    for path in before:
        path.chmod(0o666)
    assert {finish(start(own))} == twenty
    assert all(path.stat().st_ino != inode for path, inode in before.items()), "compiled again"
    monkeypatch.setenv("HPSS_BATCH_CACHE_DIR", str(own))
    monkeypatch.setattr(os, "getuid", lambda: 12345)  # of another user, who may read it
    assert jit.cache_folder() == own / "user-12345"
