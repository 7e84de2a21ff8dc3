"""Can the program that starts a run be imported by worker processes, which begin with running it once more?"""

import ast
import sys
from multiprocessing import spawn
from pathlib import Path

from hpss_batch.errors import ClusterError

GUARD = (
    "Workers of this machine import what started them: put the program into a file, and what it does below "
    '`if __name__ == "__main__":`, or set cluster.kwargs.processes to false'
)


def check_main() -> None:
    """Refuse a program that worker processes, which begin with running it once more, could not run.

    Python has all processes that multiprocessing spawns import the main module, so that what it defines is there.
    """
    try:
        main = spawn.get_preparation_data("")
    except RuntimeError:  # this is such a process, and its parent says what is wrong
        sys.exit(1)
    path = main.get("init_main_from_path")
    if not main.get("init_main_from_name", "__main__").endswith("__main__"):
        path = getattr(sys.modules["__main__"], "__file__", None)
    if path is None:
        return
    try:
        lines = ast.parse(Path(path).read_bytes()).body
    except OSError:
        raise ClusterError(f"the program that started the run is not in a file. {GUARD}") from None
    except (ValueError, SyntaxError):
        return
    if not any(isinstance(line, ast.If) and "__name__" in ast.dump(line.test) for line in lines):
        raise ClusterError(f"{path} starts the run whenever it is imported. {GUARD}")
