"""In what order must values be compared, so that every window of a row gives up its median?

Always in the same one, whatever the values: a *network* is a fixed list of min and max. So it runs without a
branch, on sixteen columns at once where a vector has sixteen lanes.

`sliding_rank(size, rank, block)` finds the value of one rank (the median, mostly) in each of `block` windows, which
start at neighbouring rows. Windows that overlap share most of the work:

    rows      0   1   2   3   4   5   6   7   8   9            size 7, block 4
    windows   └───────── 0 ─────────┘
                  └───────── 1 ─────────┘
                      └───────── 2 ─────────┘
                          └───────── 3 ─────────┘
    core                  [ 3 . 4 . 5 . 6 ]                    in all four: sorted once
    windows 0, 1  [ 1 .2 ]                                     1 and 2 more rows, sorted, are
    windows 2, 3                              [ 7 . 8 ]        in both of two windows

1. Sort the core. Of its values, only as many as there are windows can still have the rank that is sought.
2. Halve: the first half of the windows has some more rows in common, just before the core, the second half as many
   just behind it. Merge them in, and of what they are merged with keep only what can still have the rank: half.
3. Halve again, until one value is left for each window.

The merge of 2 is short. Of sorted candidates c[0..2h) and h sorted newcomers r, the h that stay are

    max(c[i], min(r[h - 1 - i], c[h + i])),  i = 0..h

By the 0–1 principle (Knuth, TAOCP 3, 5.3.4) it is enough to see that for c of p zeros and r of q, max(p + q - h, 0)
of these are zeros, or h: for p ≤ h they are those with h - q ≤ i < p, and for p > h those with i < p - h or
i ≥ h - q. So the zeros lie together, around the end at most: Batcher's bitonic sorter (AFIPS 1968) puts them in order.

Runs of rows are sorted by merging, halves first (Batcher's odd-even merge), so that a run that several windows need
is sorted once. What no result needs is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

T = TypeVar("T")

# Wires that hold no value of the input: lower, or higher, than all of them.
LOWEST, HIGHEST = -1, -2


class Operation(NamedTuple):
    """The lower or the higher of two wires."""

    higher: bool
    a: int
    b: int


@dataclass(frozen=True)
class Network:
    """Comparisons in a fixed order.

    Attributes
    ----------
    n_inputs
        The inputs are wires 0 to n_inputs.
    operations
        In order; operation i yields wire n_inputs + i.
    outputs
        The wires that hold the results.
    """

    n_inputs: int
    operations: tuple[Operation, ...]
    outputs: tuple[int, ...]

    def run(self, inputs: Sequence[T], minimum: Callable[[T, T], T], maximum: Callable[[T, T], T]) -> list[T]:
        """The outputs for some inputs, of any type that has a lower and a higher of two."""
        wires = list(inputs)
        for higher, a, b in self.operations:
            wires.append((maximum if higher else minimum)(wires[a], wires[b]))
        return [wires[output] for output in self.outputs]


def sorting(n: int) -> Network:
    """Sorts n values, from the lowest."""
    wiring = _Wiring(n)
    return wiring.network(wiring.sort(0, n))


def merging(n: int, m: int) -> Network:
    """Merges n sorted values with m sorted values."""
    wiring = _Wiring(n + m)
    return wiring.network(wiring.merge(range(n), range(n, n + m)))


def sliding_rank(size: int, rank: int, block: int) -> Network:
    """Finds one rank in each of `block` windows of `size` rows, that start at rows 0, 1, … block.

    Parameters
    ----------
    size
        Rows in a window, at least 1.
    rank
        From 0, the lowest of a window, to size - 1.
    block
        Number of windows, a power of two.
    """
    wiring = _Wiring(size + block - 1)

    def among(start: int, stop: int) -> list[int]:
        """The results of windows start to stop."""
        if stop - start > size + 1:
            middle = (start + stop) // 2
            return among(start, middle) + among(middle, stop)
        core, windows = wiring.sort(stop - 1, start + size), stop - start
        ranks = range(rank - windows + 1, rank + 1)
        return halve(
            start, stop, [LOWEST if i < 0 else HIGHEST if i >= len(core) else core[i] for i in ranks]
        )

    def halve(start: int, stop: int, candidates: list[int]) -> list[int]:
        """The results of windows start to stop, each of which is among the sorted candidates, or in its own rows."""
        if stop - start == 1:
            return candidates
        middle = (start + stop) // 2
        before, behind = wiring.sort(middle - 1, stop - 1), wiring.sort(start + size, middle + size)
        first = halve(start, middle, wiring.median_half(candidates, before))
        return first + halve(middle, stop, wiring.median_half(candidates, behind))

    return wiring.network(among(0, block))


class _Wiring:
    """A network as it grows; no comparison is made twice."""

    def __init__(self, n_inputs: int) -> None:
        self._n_inputs = n_inputs
        self._operations: dict[Operation, int] = {}
        self._sorted: dict[tuple[int, int], list[int]] = {}

    def network(self, outputs: Sequence[int]) -> Network:
        """What was wired, without that which no output needs."""
        operations, n = list(self._operations), self._n_inputs
        needed = set(outputs)
        for wire in range(n + len(operations) - 1, n - 1, -1):
            if wire in needed:
                needed.update(operations[wire - n][1:])
        kept = [wire for wire in range(n, n + len(operations)) if wire in needed]
        names = {wire: wire for wire in range(n)} | {wire: n + i for i, wire in enumerate(kept)}
        renamed = (operations[wire - n] for wire in kept)
        return Network(
            n,
            tuple(Operation(higher, names[a], names[b]) for higher, a, b in renamed),
            tuple(names[wire] for wire in outputs),
        )

    def lower(self, a: int, b: int) -> int:
        return self._compare(False, a, b, LOWEST, HIGHEST)

    def higher(self, a: int, b: int) -> int:
        return self._compare(True, a, b, HIGHEST, LOWEST)

    def _compare(self, higher: bool, a: int, b: int, absorbing: int, neutral: int) -> int:
        if absorbing in (a, b):
            return absorbing
        if a == b or neutral in (a, b):
            return b if a == neutral else a
        operation = Operation(higher, min(a, b), max(a, b))
        return self._operations.setdefault(operation, self._n_inputs + len(self._operations))

    def sort(self, start: int, stop: int) -> list[int]:
        """The inputs from start to stop, in order."""
        if stop - start <= 1:
            return list(range(start, stop))
        if (start, stop) not in self._sorted:
            middle = (start + stop) // 2
            self._sorted[start, stop] = self.merge(self.sort(start, middle), self.sort(middle, stop))
        return self._sorted[start, stop]

    def merge(self, a: Sequence[int], b: Sequence[int]) -> list[int]:
        """Batcher's odd-even merge of sorted wires."""
        if not a or not b:
            return [*a, *b]
        length = 1 << (max(len(a), len(b)) - 1).bit_length()
        padded = ([*wires, *[HIGHEST] * (length - len(wires))] for wires in (a, b))
        return self._odd_even(*padded)[: len(a) + len(b)]

    def _odd_even(self, a: list[int], b: list[int]) -> list[int]:
        if len(a) == 1:
            return [self.lower(a[0], b[0]), self.higher(a[0], b[0])]
        even, odd = self._odd_even(a[::2], b[::2]), self._odd_even(a[1::2], b[1::2])
        pairs = zip(odd, even[1:], strict=False)
        merged = [wire for x, y in pairs for wire in (self.lower(x, y), self.higher(x, y))]
        return [even[0], *merged, odd[-1]]

    def median_half(self, candidates: list[int], newcomers: list[int]) -> list[int]:
        """The middle third, in order, of twice as many sorted candidates as there are sorted newcomers."""
        half = len(newcomers)
        inputs = [wire for wire in candidates if wire >= 0]
        if len(inputs) < len(
            candidates
        ):  # some are beyond all values: the rest is merged, those stand at its ends
            lowest, highest = candidates.count(LOWEST), candidates.count(HIGHEST)
            return [*[LOWEST] * lowest, *self.merge(inputs, newcomers), *[HIGHEST] * highest][half : 2 * half]
        pairs = zip(candidates, reversed(newcomers), candidates[half:], strict=False)
        return self._bitonic([self.higher(low, self.lower(new, high)) for low, new, high in pairs])

    def _bitonic(self, wires: list[int]) -> list[int]:
        """Batcher's bitonic sorter."""
        half = len(wires) // 2
        if not half:
            return wires
        pairs = list(zip(wires[:half], wires[half:], strict=True))
        return self._bitonic([self.lower(a, b) for a, b in pairs]) + self._bitonic(
            [self.higher(a, b) for a, b in pairs]
        )
