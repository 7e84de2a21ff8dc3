"""Does a server keep what is there? Whoever makes an object that is there already must be told so, and change nothing.

All that a run directory decides relies on it: which tracks lie where, which units are done. S3 servers other than
Amazon's may take the condition (`If-None-Match: *`) and not keep it, or look first and write then.
"""

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from hpss_batch.errors import StoreError, UnreachableError
from hpss_batch.store.buckets.folder import ObjectFolder

CHECK, ROUNDS, WRITERS = ".create-only", 3, 16
"""How it is tried whether a store keeps what is there: the object's name, how often, and how many at once."""


def check_create_only(folder: ObjectFolder) -> None:
    """Try whether `create` leaves what is there as it is, however many try at once.

    Raises
    ------
    StoreError
        If it does not.
    """
    for _ in range(ROUNDS):
        name = f"{CHECK}-{uuid.uuid4().hex}"
        barrier = threading.Barrier(WRITERS)

        def create(number: int, name: str = name, barrier: threading.Barrier = barrier) -> bool:
            barrier.wait()
            return folder.create(name, str(number).encode())

        try:
            with ThreadPoolExecutor(WRITERS) as pool:
                first = [number for number, made in enumerate(pool.map(create, range(WRITERS))) if made]
            # a request whose answer is lost is sent again, and then told that its own object is there
            late, kept = folder.create(name, b"late"), folder.read(name)
        finally:
            with suppress(UnreachableError):  # some servers delete nothing
                folder.delete(name)
        if len(first) + late > 1 or (first and kept != str(first[0]).encode()):
            raise StoreError(
                f"{folder.url} overwrites what is there where it was asked not to (a put with If-None-Match: *): of "
                f"{WRITERS} who made an object at once, {len(first) + late:,} were told that they were first. What "
                "several workers or runs do there would get lost. Use another server, or a local output.path"
            )
