"""How does LLVM code become a function that Python calls, compiled once a machine?

1. A builder writes the code for a `Machine` (its processor, as LLVM names it) as text.
2. LLVM compiles the text to an object file, in some ten milliseconds.
3. The object file is kept in a cache folder, under a digest of all that it depends on. It is written under
   another name and renamed, so that any number of processes may start at once; it carries a digest of its own, so
   that a damaged one is compiled again; and where the folder cannot be written, nothing is kept. What is in it is
   run, so nobody else may write to it: each user of a folder that several share has one of their own in it.
4. The object is linked into the process and called through ctypes, without the GIL.

The folder is $HPSS_BATCH_CACHE_DIR, or `hpss_batch` in $NUMBA_CACHE_DIR, $XDG_CACHE_HOME or ~/.cache. As for numba,
$NUMBA_CPU_NAME and $NUMBA_CPU_FEATURES choose another processor than the one at hand. What is in the folder may
be deleted at any time.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import os
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import llvmlite
import llvmlite.binding as llvm

MAGIC = b"hpss_batch object 1\n"

_lock = threading.RLock()
_linked: dict[str, Any] = {}


@dataclass(frozen=True)
class Machine:
    """The processor that code is compiled for. A wrong register size costs speed, never bits.

    Attributes
    ----------
    cpu, features
        As LLVM names them.
    register_bytes
        Size of a vector register.
    integer_order
        Whether the lower of two vectors is found faster among integers than among floats.
    fused
        Whether it multiplies and adds with one rounding.
    """

    cpu: str
    features: str
    register_bytes: int
    integer_order: bool
    fused: bool


@functools.cache
def machine() -> Machine:
    """The machine at hand, or the one that NUMBA_CPU_NAME and NUMBA_CPU_FEATURES ask for."""
    cpu = os.environ.get("NUMBA_CPU_NAME") or llvm.get_host_cpu_name()
    features = os.environ.get("NUMBA_CPU_FEATURES")
    if features is None:
        features = "" if os.environ.get("NUMBA_CPU_NAME") else llvm.get_host_cpu_features().flatten()
    has = set(features.split(","))
    if "+avx512f" in has or cpu.endswith("-v4"):
        size = 64
    elif "+avx2" in has or cpu.endswith("-v3"):
        size = 32
    else:
        size = 16
    # AMD's cores compare integers on four pipes and floats on two; Intel's widest registers the other way round.
    fused = (
        size == 64
        or "+fma" in has
        or cpu.endswith("-v3")
        or llvm.get_process_triple().startswith(("aarch64", "arm64"))
    )
    return Machine(cpu, features, size, integer_order=size > 16 and cpu.startswith("znver"), fused=fused)


def function(name: str, build: Callable[[Machine], str], arguments: Sequence[Any], result: Any = None) -> Any:
    """The compiled function `name`, which `build` writes as LLVM text; the same one whenever the name is the same.

    Parameters
    ----------
    name
        Of the function, unique among all of this package's; it names all parameters of `build`.
    build
        Writes the module that defines it. Called only where no cache has it.
    arguments, result
        ctypes of the function.

    Returns
    -------
    A ctypes function; its address is `address(...)` of it.
    """
    with _lock:
        if name not in _linked:
            code = _cached(name, build)
            engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), _target_machine())
            engine.add_object_file(llvm.ObjectFileRef.from_data(code))
            engine.finalize_object()
            _linked[name] = ctypes.CFUNCTYPE(result, *arguments)(engine.get_function_address(name))
            engine.detach()  # it stays: when Python ends, another thread may still be in its code
        return _linked[name]


def address(compiled: Any) -> int:
    """Where a function lies, to hand it to another one."""
    return ctypes.cast(compiled, ctypes.c_void_p).value or 0


def cache_folder() -> Path | None:
    """Where object files are kept between processes: a folder that, once it is there, this user alone can write to.

    None where nobody knows a home folder, as in some containers.
    """
    own = os.environ.get("HPSS_BATCH_CACHE_DIR")
    shared = os.environ.get("NUMBA_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    folder = Path(own) if own else Path(os.path.expanduser(shared)) / "hpss_batch"
    if folder.parts[0] == "~":
        return None
    try:
        return folder if _is_mine(folder.stat()) else folder / f"user-{os.getuid()}"
    except OSError:
        return folder


def _is_mine(found: os.stat_result) -> bool:
    """Whether nobody but this user can have written it."""
    return not hasattr(os, "getuid") or (found.st_uid == os.getuid() and not found.st_mode & 0o022)


def _read_mine(path: Path) -> bytes:
    """A file that nobody but this user can have written; nothing of any other."""
    with path.open("rb") as file:
        mine = _is_mine(path.parent.stat()) and _is_mine(os.fstat(file.fileno()))
        return file.read() if mine else b""


def _cached(name: str, build: Callable[[Machine], str]) -> bytes:
    folder = cache_folder()
    path = folder and folder / f"{_digest(_origin(), name.encode())}.o"
    with contextlib.suppress(OSError):
        stored = _read_mine(path) if path else b""
        head, code = stored[: len(MAGIC) + 32], stored[len(MAGIC) + 32 :]
        if head == MAGIC + hashlib.sha256(code).digest():
            return code
    module = llvm.parse_assembly(build(machine()))
    module.triple = llvm.get_process_triple()
    code = bytes(_target_machine().emit_object(module))
    if path:
        _keep(path, MAGIC + hashlib.sha256(code).digest() + code)
    return code


def _keep(path: Path, content: bytes) -> None:
    """Write a file whole or not at all; a folder that cannot be written is none of the caller's business."""
    with contextlib.suppress(OSError):
        path.parent.parent.mkdir(parents=True, exist_ok=True)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        if not _is_mine(path.parent.stat()):
            return
        handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".partial")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            os.replace(temporary, path)
        except OSError:
            os.unlink(temporary)
            raise


def _target_machine() -> Any:
    """A new one each time, since an engine takes it over."""
    if llvm.llvm_version_info < (20,):
        llvm.initialize()
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_triple(llvm.get_process_triple())
    at = machine()
    return target.create_target_machine(
        cpu=at.cpu, features=at.features, opt=3, jit=True, codemodel="jitdefault"
    )


@functools.cache
def _origin() -> bytes:
    """Digest of all that code depends on, but for its name: this package's sources, LLVM, the machine."""
    files = sorted(resources.files(__package__).iterdir(), key=lambda file: file.name)
    sources = [file.read_bytes() for file in files if file.name.endswith(".py")]
    tools = repr((llvmlite.__version__, llvm.llvm_version_info, llvm.get_process_triple(), machine()))
    return _digest(tools.encode(), *sources).encode()


def _digest(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little") + part)
    return digest.hexdigest()
