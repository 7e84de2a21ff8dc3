"""Which packages made the numbers? Recorded in every commit, since other versions may give other last bits."""

import platform
from functools import cache
from importlib.metadata import version

PACKAGES = ("hpss-batch", "numpy", "scipy", "soundfile", "soxr", "zarr", "llvmlite")


@cache
def versions() -> dict[str, str]:
    """Versions of what takes part in computing or storing numbers, by name; libsndfile's too."""
    import soundfile

    found = {name: version(name) for name in PACKAGES}
    return found | {"libsndfile": soundfile.__libsndfile_version__, "python": platform.python_version()}
