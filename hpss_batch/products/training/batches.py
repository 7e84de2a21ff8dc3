"""In which order does a model see windows, so that the order is random and chunks are still read about once an epoch?

    store      |0 1 2 3|4 5 6 7|8 9 …                      windows, in blocks that lie in the same chunks
    permuted   |8 9 …|0 1 2 3|20 21 22 23|4 5 6 7| …       blocks in random order, another one each epoch
    cut        rank 0: |8 9 …|0 1    rank 1: 2 3|20 …      the same number for each rank, then parts for workers
    shuffled   |2 9 21 0 8 …|  …                           windows in random order, among the blocks that are cached

A DataLoader hands the j-th batch of its sampler to worker j modulo the number of workers. So the cut for workers is
made here, in the process that iterates, and workers that live on need not know of a new epoch.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpss_batch.errors import ParameterError

Indices = NDArray[np.int64]


def whole(name: str, value: Any, least: int = 1) -> int:
    """A whole number that is at least so large, or the error that says so."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ParameterError(f"{name} is {value!r}; allowed: a whole number from {least} on")
    return int(value)


class Batches:
    """Batches of window numbers for one rank: a batch sampler. Each pass over it is an epoch, in another order.

    The order follows from the parameters and the epoch; nothing else.

    Parameters
    ----------
    blocks : ndarray of int64, shape (windows,)
        For each window the block of chunks that it lies in.
    mixed : int
        Blocks among which windows are shuffled.
    seed : int or None
        Of the order; None for that of the windows.
    batch_size, workers, rank, world_size : int
        As in `TrackWindows.batches`.
    drop_last : bool
        Leave out a last batch that is not full.

    Attributes
    ----------
    epoch : int
        Of the next pass; set it to go on where an earlier training ended.
    """

    def __init__(
        self,
        blocks: Indices,
        mixed: int,
        seed: int | None,
        *,
        batch_size: int,
        workers: int,
        rank: int,
        world_size: int,
        drop_last: bool,
    ) -> None:
        self.batch_size = whole("batch_size", batch_size)
        self.workers = whole("workers", workers, least=0) or 1
        self.world_size = whole("world_size", world_size)
        if not 0 <= rank < world_size:
            raise ParameterError(
                f"rank is {rank}; allowed: 0 to {world_size - 1}, as world_size is {world_size}"
            )
        self.rank, self.drop_last, self.epoch = rank, drop_last, 0
        self._seed, self._blocks, self._mixed = seed, blocks, mixed
        self._n_windows = len(blocks) // world_size
        if not self._n_windows:
            raise ParameterError(
                f"world_size is {world_size}, more than the {len(blocks)} windows; allowed: at most as many"
            )

    def __len__(self) -> int:
        whole, rest = divmod(self._n_windows, self.batch_size)
        return whole + bool(rest and not self.drop_last)

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch the next pass is, as to PyTorch's DistributedSampler."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[list[int]]:
        epoch, self.epoch = self.epoch, self.epoch + 1
        rng = None if self._seed is None else np.random.default_rng([self._seed, epoch])
        order = self._permuted(rng)
        n = self._n_windows
        order = order[self.rank * n : (self.rank + 1) * n]
        n_batches = -(-n // self.batch_size)
        shares = [len(range(worker, n_batches, self.workers)) for worker in range(self.workers)]
        # the last batch, which may be short, belongs to the worker whose turn it is: put its part last
        last = (n_batches - 1) % self.workers
        turn = [worker for worker in range(self.workers) if worker != last] + [last]
        stops = dict(zip(turn, np.cumsum([shares[worker] * self.batch_size for worker in turn]), strict=True))
        parts = [
            self._mixed_up(order[stops[worker] - shares[worker] * self.batch_size : stops[worker]], rng)
            for worker in range(self.workers)
        ]
        for batch in range(len(self)):
            start = batch // self.workers * self.batch_size
            yield parts[batch % self.workers][start : start + self.batch_size].tolist()

    def _permuted(self, rng: np.random.Generator | None) -> Indices:
        """All windows, their blocks in random order."""
        if rng is None:
            return np.arange(len(self._blocks))
        _, block = np.unique(self._blocks, return_inverse=True)
        return np.argsort(rng.permutation(int(block.max()) + 1)[block], kind="stable")

    def _mixed_up(self, order: Indices, rng: np.random.Generator | None) -> Indices:
        """A worker's windows in random order, within as many blocks at a time as its cache holds."""
        if rng is None or not len(order):
            return order
        block = self._blocks[order]
        number = np.cumsum(np.diff(block, prepend=block[0]) != 0)
        return order[np.lexsort((rng.random(len(order)), number // self._mixed))]
