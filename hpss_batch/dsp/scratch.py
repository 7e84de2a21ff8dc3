"""Where do native passes keep what is between them, and how are its rows laid out?"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def address_of(array: Array) -> int:
    """Where an array begins. (The attribute `ctypes.data` takes twice as long.)"""
    address: int = array.__array_interface__["data"][0]
    return address


def odd_lines(size: int) -> int:
    """At least `size` bytes: an odd number of the cache's lines, so that rows do not all fall into one set of it."""
    return (-(-size // 64) | 1) * 64


class Memory(threading.local):
    """A thread's own, kept from one call to the next: fresh memory costs more than the arithmetic on it."""

    def __init__(self) -> None:
        self.block = np.empty(0, np.uint8)

    def parts(self, **sizes: int) -> dict[str, Array]:
        """Parts of some sizes in bytes, each from the border of a line of the cache on."""
        starts = [0]
        for size in sizes.values():
            starts.append(starts[-1] + -(-size // 64) * 64)
        if self.block.size < starts[-1] + 64:
            self.block = np.empty(starts[-1] + 64, np.uint8)
        base = -address_of(self.block) % 64
        begins = [base + start for start in starts]
        return {
            name: self.block[begin : begin + size]
            for (name, size), begin in zip(sizes.items(), begins, strict=False)
        }


MEMORY = Memory()
