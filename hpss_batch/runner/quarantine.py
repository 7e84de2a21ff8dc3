"""Which track kills workers? Found by halves, with nothing written and nothing else running.

A worker that dies takes the blame for whatever it was assigned, so a unit that is said to have killed its workers may
be innocent. Its pieces are tried alone on the cluster, all at first, then half of them, until those are left that
kill a worker with nobody else around:

    [a b c d]  dies → [a b] lives
                      [c d] dies  → [c] lives
                                    [d] dies three times alone: quarantined
"""

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from hpss_batch.errors import ClusterError
from hpss_batch.runner.cluster import DEATHS
from hpss_batch.runner.submission import result_alone
from hpss_batch.store.layout import Unit
from hpss_batch.store.records import Outcome
from hpss_batch.tasks.spec import Recipe

if TYPE_CHECKING:
    from distributed import Client


def narrow(
    client: "Client", recipe: Recipe, unit: Unit, excluded: Mapping[int, Outcome]
) -> dict[int, Outcome]:
    """Tracks of a unit that kill workers when they are tried alone.

    Parameters
    ----------
    client : Client
        A cluster with nothing else to do.
    recipe, unit, excluded
        As in `hpss_batch.tasks.unit.run_unit`.

    Returns
    -------
    dict of int to Outcome
        What to commit of the guilty, by row; empty where all lived this time.
    """
    from hpss_batch.tasks.unit import probe_pieces

    deaths, rounds = _rounds(client)
    guilty = dict[int, Outcome]()
    groups = [tuple(piece for piece in unit.pieces if piece.index not in excluded)]
    while groups:
        group = groups.pop()
        arguments: tuple[Any, ...] = (recipe, Unit(unit.number, group), {})
        if not group or _lives(client, probe_pieces, arguments, rounds if len(group) == 1 else 1):
            continue
        if len(group) == 1:
            error = (
                f"killed its worker {rounds * deaths} times, alone: it may need more memory than a worker has"
            )
            guilty[group[0].index] = Outcome("quarantined", error)
        else:
            middle = len(group) // 2
            groups += [group[middle:], group[:middle]]
    return guilty


def deaths_alone(client: "Client", function: Callable[..., Any], arguments: tuple[Any, ...]) -> int:
    """How many workers a call kills with nothing else on the cluster; 0 if one lives through it."""
    deaths, rounds = _rounds(client)
    return 0 if _lives(client, function, arguments, rounds) else deaths * rounds


def _rounds(client: "Client") -> tuple[int, int]:
    """After how many deaths the scheduler gives up on a task, and how often that makes enough of them."""
    deaths = 1 + int(client.run_on_scheduler(_allowed_failures))
    return deaths, math.ceil(DEATHS / deaths)


def _allowed_failures(dask_scheduler: object) -> int:
    return int(dask_scheduler.allowed_failures)  # type: ignore[attr-defined]


def _lives(client: "Client", function: Callable[..., Any], arguments: tuple[Any, ...], rounds: int) -> bool:
    """Whether a worker survives a call in at least one of so many rounds."""
    from distributed import KilledWorker

    for _ in range(rounds):
        try:
            result_alone(client, function, arguments)
        except KilledWorker:
            continue
        except ClusterError:
            raise
        except Exception:
            return True  # it raised: the worker is alive, and the run itself will say what is wrong
        return True
    return False
