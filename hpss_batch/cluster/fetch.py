"""How does a result come from a worker that may die with it?"""

import concurrent.futures
from typing import Any

FETCH_SECONDS = 10
"""How long a result, which is small, may take; Dask waits for one that is lost until somebody has computed it anew."""


def fetched(future: Any) -> "concurrent.futures.Future[Any] | None":
    """What a call gave or raised; None where it is not done, or not any more, as its worker died with what it gave."""
    here = concurrent.futures.Future[Any]()
    if not future.done():
        return None
    try:
        here.set_result(future.result(timeout=FETCH_SECONDS))
    except Exception as error:
        if isinstance(error, TimeoutError) and future.status != "error":
            return None
        here.set_exception(error)
    return here
