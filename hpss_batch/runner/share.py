"""Which task is next, where other drivers may be at the same job? They share the work, and not a word between them.

Each walks through what is to be done from a place of its own, and at the end goes on from the beginning:

    A ──────────►          B ────────►              C ──────────►
    1 2 3 4 5 6 7 . . . . . 12 13 14 15 . . . . . . 22 23 24 25 . . . .

A worker looks whether a task is committed before it begins. One that is means that this driver has come to where
another has been: it lists what is committed, leaves that out, and goes on from a random place of what is left, which is
most likely in the longest stretch. Nobody waits for anybody: a driver ends when all that it had to do is committed, by
whomever, and so does what others had under way when they died. What is done twice, with the same bytes, is what two
have under way where their ways meet. A driver that is alone meets nobody, and lists nothing.
"""

import random
import time
from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator

from hpss_batch.runner.work import Work

REST = 20
"""How many times as long as a listing took it is, at least, until the next: of a million units, a minute or so."""


class Share(Iterator[Work]):
    """What is left to do, one task after the other.

    Parameters
    ----------
    work : iterable of Work
        All tasks, in the order in which one driver alone would do them.
    committed : callable
        Lists the records that are there, by name.
    alone : bool
        Whether no other driver is known to be at work: then the first task is the first.
    """

    def __init__(self, work: Iterable[Work], committed: Callable[[], Container[str]], *, alone: bool) -> None:
        self.left, self.committed = deque(work), committed
        self.rested = 0.0
        if not alone:
            self._go_elsewhere()

    def __next__(self) -> Work:
        if not self.left:
            raise StopIteration
        return self.left.popleft()

    def __length_hint__(self) -> int:
        return len(self.left)

    def meet(self) -> list[Work]:
        """Another driver was here: leave out what is committed, and go on elsewhere. Returns what was left out."""
        began = time.monotonic()
        if began < self.rested or not self.left:
            return []
        committed = self.committed()
        found = [task for task in self.left if task.record in committed]
        self.left = deque(task for task in self.left if task.record not in committed)
        self._go_elsewhere()
        ended = time.monotonic()
        self.rested = ended + REST * (ended - began)
        return found

    def _go_elsewhere(self) -> None:
        if self.left:
            self.left.rotate(-random.randrange(len(self.left)))
