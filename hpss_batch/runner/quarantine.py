"""Which track kills workers? Found by halves, with nothing written and nothing else running.

A worker that dies takes the blame for whatever it was assigned, so a unit that is said to have killed its workers may
be innocent. Its pieces are tried alone on the cluster, all at first, then half of them, until those are left that
kill a worker with nobody else around:

    [a b c d]  dies → [a b] lives
                      [c d] dies  → [c] lives
                                    [d] dies three times alone: quarantined
"""

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

from hpss_batch.cluster.client import DEATHS
from hpss_batch.cluster.submission import result_alone
from hpss_batch.cluster.workforce import Workforce
from hpss_batch.errors import ClusterError
from hpss_batch.store.layout import Unit
from hpss_batch.store.records import Outcome
from hpss_batch.tasks.spec import Recipe
from hpss_batch.text import duration


def narrow(
    workforce: Workforce, recipe: Recipe, unit: Unit, excluded: Mapping[int, Outcome], limit: float | None
) -> dict[int, str]:
    """Tracks of a unit that kill workers when they are tried alone.

    Parameters
    ----------
    workforce : Workforce
        Workers with nothing else to do.
    recipe, unit, excluded
        As in `hpss_batch.tasks.unit.run_unit`.
    limit : float or None
        Seconds after which a worker is held to be stalled, and ended.

    Returns
    -------
    dict of int to str
        What to say of the guilty, by row; empty where all lived this time.
    """
    from hpss_batch.tasks.unit import probe_pieces

    guilty = dict[int, str]()
    groups = [tuple(piece for piece in unit.pieces if piece.index not in excluded)]
    while groups:
        group = groups.pop()
        arguments: tuple[Any, ...] = (recipe, Unit(unit.number, group), {})
        if len(group) == 1:
            error = fate_alone(workforce, probe_pieces, arguments, limit)
            if error is not None:
                guilty[group[0].index] = error
        elif group and not _lives(workforce, probe_pieces, arguments, 1, limit):
            middle = len(group) // 2
            groups += [group[middle:], group[:middle]]
    return guilty


def fate_alone(
    workforce: Workforce, function: Callable[..., Any], arguments: tuple[Any, ...], limit: float | None
) -> str | None:
    """What to say of a call that kills every worker with nothing else on the cluster; None if one lives through it."""
    deaths, rounds = _rounds(workforce)
    started = time.monotonic()
    if _lives(workforce, function, arguments, rounds, limit):
        return None
    times = deaths * rounds
    if limit is not None and time.monotonic() - started >= times * limit:
        return f"stalled {times} times, alone: its worker was ended after {duration(limit)}"
    return f"killed its worker {times} times, alone: a decoder crashed, or it needs more memory than a worker has"


def _rounds(workforce: Workforce) -> tuple[int, int]:
    """After how many deaths the scheduler gives up on a task, and how often that makes enough of them."""
    deaths = 1 + int(workforce.client.run_on_scheduler(_allowed_failures))
    return deaths, math.ceil(DEATHS / deaths)


def _allowed_failures(dask_scheduler: object) -> int:
    return int(dask_scheduler.allowed_failures)  # type: ignore[attr-defined]


def _lives(
    workforce: Workforce,
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
    rounds: int,
    limit: float | None,
) -> bool:
    """Whether a worker survives a call in at least one of so many rounds."""
    from distributed import KilledWorker

    for _ in range(rounds):
        try:
            result_alone(workforce, function, arguments, limit)
        except KilledWorker:
            continue
        except ClusterError:
            raise
        except Exception:
            return True  # it raised: the worker is alive, and the run itself will say what is wrong
        return True
    return False
