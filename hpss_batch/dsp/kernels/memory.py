"""Where do native passes keep what is between them, and how are its rows laid out?"""

from __future__ import annotations

import math
import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

LINE = 64


def address_of(array: Array) -> int:
    """Where an array begins. (The attribute `ctypes.data` takes twice as long.)"""
    address: int = array.__array_interface__["data"][0]
    return address


def lines(size: int) -> int:
    """At least `size` bytes: whole lines of the cache."""
    return -(-size // LINE) * LINE


def odd_lines(size: int) -> int:
    """At least `size` bytes: an odd number of lines, so that rows do not all fall into one set of the cache."""
    return (-(-size // LINE) | 1) * LINE


class Memory(threading.local):
    """A thread's own, kept from one call to the next: fresh memory costs more than the arithmetic on it."""

    def __init__(self) -> None:
        self._block = np.empty(0, np.uint8)
        self._address = 0

    def at_least(self, size: int) -> int:
        """Address of so many bytes, which begin a line. They are good until the next call, and hold anything."""
        if self._block.size < size + LINE:
            self._block = np.empty(size + LINE, np.uint8)
            self._address = lines(address_of(self._block))
        return self._address


MEMORY = Memory()


class Scratch(threading.local):
    """Memory for each thread, kept: fresh memory costs more than the arithmetic on it."""

    def __init__(self) -> None:
        self.kept: dict[str, NDArray[np.uint8]] = {}

    def get(self, use: str, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
        """An array at the start of a cache line, holding anything."""
        size = math.prod(shape) * np.dtype(dtype).itemsize
        memory = self.kept.get(use)
        if memory is None or memory.size < size + 64:
            memory = self.kept[use] = np.empty(size + 64, np.uint8)
        start = -address_of(memory) % 64
        array: NDArray[Any] = memory[start : start + size].view(dtype).reshape(shape)
        return array
