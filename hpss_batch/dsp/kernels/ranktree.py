"""What ranks where a kernel is too long for a network?

A tree that counts. Of a line only the order of its values matters, so each is replaced by its place among them. The
places are the leaves of a binary tree, whose nodes hold how many of their leaves are in the window, each as often
as reflection brings it in. To move the window by one, the counts above the value that comes and above that which
goes change; and a rank is found from the root down, to the left if there are enough, else to the right. So a step
takes the logarithm of the line's length, however long the kernel. Any type that sorts will do.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpss_batch.dsp.kernels import jit
from hpss_batch.dsp.kernels.ir import Value, Writer
from hpss_batch.dsp.kernels.jit import Machine
from hpss_batch.dsp.kernels.tiles import mirrored

Array = NDArray[Any]

# Sorting makes copies; so many values are sorted at once.
BATCH = 1 << 18


def rank_lines(lines: Array, size: int, rank: int) -> Array:
    """One rank of the window of `size` values around each value of lines (n, length), in which there is no NaN."""
    length = lines.shape[1]
    levels = max(1, (length - 1).bit_length())
    window = mirrored(length, -(size // 2), length + size - size // 2 - 1).astype(np.int32)
    counts = np.empty(2 << levels, np.int32)
    out = np.empty_like(lines, order="C")
    function = jit.function("rank_tree", rank_tree_code, [ctypes.c_void_p] * 4 + [ctypes.c_int64] * 5)
    for start in range(0, len(lines), max(1, BATCH // length)):
        part = lines[start : start + max(1, BATCH // length)]
        order = np.argsort(part, axis=1, kind="stable")
        places, found = np.empty(part.shape, np.int32), np.empty(part.shape, np.int32)
        np.put_along_axis(places, order, np.arange(length, dtype=np.int32)[None], axis=1)
        arrays = (array.ctypes.data for array in (places, window, counts, found))
        function(*arrays, len(part), length, size, rank, levels)
        at = np.take_along_axis(order, found, axis=1)
        out[start : start + len(part)] = np.take_along_axis(part, at, axis=1)
    return out


def rank_tree_code(machine: Machine) -> str:
    """Code that finds, for n lines of places, the place of a rank in each window; `window` holds positions."""
    parameters = ["ptr places", "ptr window", "ptr counts", "ptr found"]
    numbers = ["i64 n", "i64 length", "i64 size", "i64 rank", "i64 levels"]
    w = Writer(machine, np.dtype(np.float32), "rank_tree", [*parameters, *numbers])
    leaves = w.binary("shl", w.whole(1), w["levels"])
    before = w.add(w["size"], -1)
    with w.loop(w["n"]) as line:
        offset = w.multiply(w.multiply(line, w["length"]), 4)
        places, found = w.place(w["places"], offset), w.place(w["found"], offset)
        with w.loop(w.multiply(leaves, 2)) as node:
            w.store(Value("i32", "0"), _at(w, w["counts"], node))
        with w.loop(before) as i:
            _count(w, leaves, places, i, "add")
        with w.loop(w["length"]) as i:
            _count(w, leaves, places, w.add(i, before), "add")
            leaf = w.binary("sub", _find(w), leaves)
            w.store(w.cast("trunc", leaf, "i32"), _at(w, found, i))
            _count(w, leaves, places, i, "sub")
    return w.finish()


def _at(w: Writer, base: Value, i: Value) -> Value:
    return w.place(base, w.multiply(i, 4))


def _number(w: Writer, base: Value, i: Value) -> Value:
    return w.cast("zext", w.load(_at(w, base, i), "i32"), "i64")


def _count(w: Writer, leaves: Value, places: Value, i: Value, operation: str) -> None:
    """Count a value of the window in, or out, in all nodes above it."""
    node = [w.add(leaves, _number(w, places, _number(w, w["window"], i)))]
    with w.loop(w["levels"], carried=node):
        count = _at(w, w["counts"], node[0])
        w.store(w.binary(operation, w.load(count, "i32"), Value("i32", "1")), count)
        node[0] = w.binary("lshr", node[0], w.whole(1))


def _find(w: Writer) -> Value:
    """The leaf of the rank that is sought."""
    state = [w.whole(1), w["rank"]]
    with w.loop(w["levels"], carried=state):
        node, rank = state
        left = w.multiply(node, 2)
        count = _number(w, w["counts"], left)
        on_left = w.less(rank, count)
        state[0] = w.select(on_left, left, w.add(left, 1))
        state[1] = w.select(on_left, rank, w.binary("sub", rank, count))
    return state[0]
