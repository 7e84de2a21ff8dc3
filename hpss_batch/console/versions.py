"""Which versions does `hpss-batch --version` tell? Ours, and those of what decides on numbers, stores and clusters.

Nothing of it is imported: packages are asked for their metadata, and the library that reads audio for its own word.
"""

import ctypes
import platform
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

PACKAGES = ("numpy", "scipy", "zarr", "dask", "distributed", "xarray", "soundfile")
OPTIONAL = ("librosa", "av", "dask-jobqueue", "dask-kubernetes", "matplotlib")
"""What extras bring: told where it is installed."""


def told(ours: str) -> str:
    """The lines of `--version`: a name and a version each, ours first."""
    found = {"hpss-batch": ours, "Python": platform.python_version()}
    found |= {name: version(name) for name in PACKAGES}
    found["libsndfile"] = libsndfile()
    for name in OPTIONAL:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return "\n".join(f"{name} {number}" for name, number in found.items())


def libsndfile() -> str:
    """The version of the library that comes with soundfile, or of the system's where none does."""
    spec = find_spec("_soundfile_data")
    places = spec.submodule_search_locations if spec else None
    for library in (file for place in places or () for file in sorted(Path(place).glob("libsndfile*.*"))):
        say = ctypes.CDLL(str(library)).sf_version_string
        say.restype = ctypes.c_char_p
        return str(say().decode()).removeprefix("libsndfile-")
    import soundfile

    return str(soundfile.__libsndfile_version__)
