"""How do two medians become masks or components, in vector code?

As `dsp/masks.py` says, for powers 1 and 2 and hard masks. There one of x / z and y / z is 1, so that each mask costs
two divisions, and a pair without margins three:

    ratio = lower / z    part = ratio^power    total = 1 + part    masks: 1 / total and part / total

A logistic is the same with another part. Of D, the mean over some neighbouring bins of log2((x + e) / (y + e)), and
what `Curves` has for each bin,

    u = slope · D + offset    part = 2^-|u|    masks: 1 / total and part / total, that of x the larger if u > 0

A margin m takes log2 m off D in the mask of x, and adds it in that of y.
"""

from __future__ import annotations

import ctypes
import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hpss_batch.dsp.kernels import jit
from hpss_batch.dsp.kernels.elementary import LOWEST_POWER, below_zero, exp2, log2
from hpss_batch.dsp.kernels.ir import Float, Value, Writer
from hpss_batch.dsp.kernels.jit import Machine, machine
from hpss_batch.dsp.kernels.memory import address_of

Array = NDArray[Any]
Result = Literal["mask", "bool", "product", "component"]


@dataclass(frozen=True)
class Finish:
    """What becomes of two medians, in vector code.

    Attributes
    ----------
    power
        1, 2, or infinity; None of logistics.
    margins
        Whether any margin exceeds 1.
    result
        Masks as floats; hard masks as bytes; masks times the magnitude; or masks times the complex spectrum.
    smoothing
        Bins over which a logistic takes the mean, an odd number; 0 for ratios.
    """

    power: float | None
    margins: bool
    result: Result
    smoothing: int = 0

    @property
    def name(self) -> str:
        """Tells it from others, in the names of functions."""
        kind = f"logistic_{self.smoothing}"
        if self.power is not None:
            kind = "hard" if math.isinf(self.power) else f"{self.power:.0f}"
        return f"{self.result}_{kind}{'_margins' * self.margins}"

    @property
    def reach(self) -> int:
        """Bins on each side whose medians a mask depends on."""
        return self.smoothing // 2

    def itemsize(self, itemsize: int) -> int:
        """Bytes of one result, for floats of some size."""
        return {"mask": itemsize, "bool": 1, "product": itemsize, "component": 2 * itemsize}[self.result]


MEDIANS = ["ptr x", "ptr y", "i64 stride", "i64 columns"]
OUTS = ["ptr out_x", "i64 stride_x", "ptr out_y", "i64 stride_y"]
SOURCES = ["ptr magnitude", "i64 magnitude_stride", "ptr spectrum", "i64 spectrum_stride"]
LOGISTIC = ["ptr curves", "i64 curves_stride", "ptr logs", "i64 inset", "i64 known"]
FACTORS = ["{element} margin_x", "{element} margin_y", "{element} floor"]


def finish_code(machine: Machine, dtype: Float, finish: Finish, name: str = "finish") -> str:
    """Code for some rows, from medians x and y in rows `stride` bytes apart.

    A logistic's medians begin some bins before the `columns` that masks are wanted of, or where the array begins, and
    there are `known` of them. Their logarithms are written to `logs`, `inset` bytes from its beginning; all around
    are zeros.
    """
    w = Writer(machine, dtype, name, ["i64 rows", *MEDIANS, *OUTS, *SOURCES, *LOGISTIC, *FACTORS])
    margins = (w.spread(w["margin_x"]), w.spread(w["margin_y"])) if finish.margins else None
    if margins and finish.power is None:
        margins = log2(w, margins[0]), log2(w, margins[1])
    size = finish.itemsize(w.itemsize)
    with w.loop(w["rows"]) as i:

        def row(base: str, stride: str, i: Value = i) -> Value:
            return w.place(w[base], w.multiply(i, w[stride]))

        x, y, out_x, out_y = (
            row("x", "stride"),
            row("y", "stride"),
            row("out_x", "stride_x"),
            row("out_y", "stride_y"),
        )
        magnitude, spectrum = row("magnitude", "magnitude_stride"), row("spectrum", "spectrum_stride")
        if finish.power is None:
            _logarithms(w, finish, x, y)
        with w.loop(w["columns"], w.lanes) as column:
            left = w.lower(column, w.add(w["columns"], -w.lanes))
            place = w.bytes(left)
            if finish.power is None:
                masks = _logistic(w, finish, place, margins)
            else:
                medians = w.load(w.place(x, place)), w.load(w.place(y, place))
                masks = _masks(w, finish, finish.power, medians, margins)
            parts = _spectrum(w, finish, w.place(magnitude, place), w.place(spectrum, w.multiply(place, 2)))
            for mask, out in zip(masks, (out_x, out_y), strict=True):
                for part, value in enumerate(_results(w, finish, mask, parts)):
                    w.store(value, w.place(out, w.add(w.multiply(left, size), part * w.vector_bytes)))
    return w.finish()


def _logarithms(w: Writer, finish: Finish, x: Value, y: Value) -> None:
    """log2((x + e) / (y + e)) of one row into `logs`, between zeros."""
    floor = w.spread(w["floor"])
    logs, nothing = w.place(w["logs"], w["inset"]), w.splat(0.0)
    with w.loop(w["inset"], w.vector_bytes) as place:
        w.store(nothing, w.place(w["logs"], place))
    with w.loop(w["known"], w.lanes) as column:
        place = w.bytes(column)
        above, below = (w.binary("fadd", w.load(w.place(of, place)), floor) for of in (x, y))
        w.store(log2(w, w.binary("fdiv", above, below)), w.place(logs, place))
    behind = w.place(logs, w.bytes(w["known"]))
    with w.loop(w.whole(finish.reach), w.lanes) as column:
        w.store(nothing, w.place(behind, w.bytes(column)))


def _logistic(
    w: Writer, finish: Finish, place: Value, margins: tuple[Value, Value] | None
) -> tuple[Value, Value]:
    """Both masks of the columns at a place, from the logarithms around them."""
    weight, slope, offset = (
        w.load(w.place(w.place(w["curves"], w.multiply(w["curves_stride"], i)), place)) for i in range(3)
    )
    first = w.place(w["logs"], place)
    total = w.load(first)
    for i in range(1, finish.smoothing):
        total = w.binary("fadd", total, w.load(w.place(first, i * w.itemsize)))
    mean = w.binary("fmul", total, weight)

    def exponent(mean: Value) -> Value:
        return w.binary("fadd", w.binary("fmul", slope, mean), offset)

    if margins is None:
        major, minor, positive = _weights(w, exponent(mean))
        return w.select(positive, major, minor), w.select(positive, minor, major)
    x = _weights(w, exponent(w.binary("fsub", mean, margins[0])))
    y = _weights(w, exponent(w.binary("fadd", mean, margins[1])))
    return w.select(x[2], x[0], x[1]), w.select(y[2], y[1], y[0])


def _weights(w: Writer, exponent: Value) -> tuple[Value, Value, Value]:
    """1 / (1 + 2^-|u|), what is left to 1, and whether u is positive."""
    positive = w.compare("ogt", exponent, w.splat(0.0))
    part = exp2(w, w.maximum(below_zero(w, exponent), w.splat(LOWEST_POWER)))
    total = w.binary("fadd", w.splat(1.0), part)
    major = w.binary("fdiv", w.splat(1.0), total)
    return major, w.divided(part, total, major), positive


def _masks(
    w: Writer, finish: Finish, power: float, medians: tuple[Value, Value], margins: tuple[Value, Value] | None
) -> tuple[Value, Value]:
    """Both masks of a ratio, as floats, or as bits if bytes are wanted."""
    x, y = medians
    if margins:
        reference_x, reference_y = w.binary("fmul", y, margins[0]), w.binary("fmul", x, margins[1])
    else:
        reference_x, reference_y = y, x
    if math.isinf(power):
        wins = w.compare("ogt", x, reference_x), w.compare("ogt", y, reference_y)
        if finish.result == "bool":
            return wins
        one, nothing = w.splat(1.0), w.splat(0.0)
        return w.select(wins[0], one, nothing), w.select(wins[1], one, nothing)
    if margins:
        return _soft(w, power, x, reference_x), _soft(w, power, y, reference_y)
    part, total, silent = _terms(w, power, x, y, w.splat(1.0))
    half, major = w.splat(0.5), w.binary("fdiv", w.splat(1.0), total)
    minor = w.select(silent, half, w.divided(part, total, major))
    major, first = w.select(silent, half, major), w.compare("ogt", x, y)
    return w.select(first, major, minor), w.select(first, minor, major)


def _soft(w: Writer, power: float, x: Value, y: Value) -> Value:
    """One soft mask with a margin. As librosa's, it is NaN where the reference is beyond the largest float."""
    beyond = w.compare("oeq", y, w.splat(math.inf))
    one = w.select(beyond, w.splat(math.nan), w.splat(1.0))
    part, total, silent = _terms(w, power, x, y, one)
    upper = w.select(w.compare("ogt", x, y), one, part)
    return w.select(silent, w.splat(0.0), w.binary("fdiv", upper, total))


def _terms(w: Writer, power: float, x: Value, y: Value, one: Value) -> tuple[Value, Value, Value]:
    """The power of the lower over the scale, the sum of both powers, and where the scale is next to nothing."""
    scale = w.maximum(x, y)
    ratio = w.binary("fdiv", w.minimum(x, y), scale)
    part = w.binary("fmul", ratio, ratio) if power == 2 else ratio
    return part, w.binary("fadd", one, part), w.compare("olt", scale, w.splat(w.tiny))


def _spectrum(w: Writer, finish: Finish, magnitude: Value, spectrum: Value) -> list[Value]:
    """What masks are multiplied with: nothing, the magnitude, or it and its phase as librosa has it, 1 in silence."""
    if finish.result in ("mask", "bool"):
        return []
    size = w.load(magnitude)
    if finish.result == "product":
        return [size]
    first, second = w.load(spectrum), w.load(w.place(spectrum, w.vector_bytes))
    real = w.shuffle(first, second, range(0, 2 * w.lanes, 2))
    imaginary = w.shuffle(first, second, range(1, 2 * w.lanes, 2))
    silent, one = w.compare("oeq", size, w.splat(0.0)), w.splat(1.0)
    divisor = w.select(silent, one, size)
    cosine = w.select(silent, one, w.binary("fdiv", real, divisor))
    return [size, cosine, w.binary("fdiv", imaginary, divisor)]


def _results(w: Writer, finish: Finish, mask: Value, parts: list[Value]) -> list[Value]:
    """What is stored for one mask, a vector or two."""
    if finish.result == "bool":
        return [w.cast("zext", mask, f"<{w.lanes} x i8>")]
    if not parts:
        return [mask]
    weighed = w.binary("fmul", parts[0], mask)
    if finish.result == "product":
        return [weighed]
    real, imaginary = (w.binary("fmul", weighed, part) for part in parts[1:])
    lanes = [i + of for i in range(w.lanes) for of in (0, w.lanes)]
    return [w.shuffle(real, imaginary, lanes[: w.lanes]), w.shuffle(real, imaginary, lanes[w.lanes :])]


def logistic_masks(
    x: Array, y: Array, margins: tuple[float, float], curves: Array, smoothing: int, floor: float
) -> tuple[Array, Array]:
    """Masks of medians (rows, columns) of float32 by a logistic; see `Operands` for `curves` and `floor`."""
    finish = Finish(None, margins != (1.0, 1.0), "mask", smoothing)
    name, dtype = f"finish_{finish.name}", np.dtype(np.float32)

    def build(machine: Machine) -> str:
        return finish_code(machine, dtype, finish, name)

    whole, factor = ctypes.c_int64, ctypes.c_float
    arguments = [whole] * (1 + sum(map(len, (MEDIANS, OUTS, SOURCES, LOGISTIC)))) + [factor] * len(FACTORS)
    lanes, (rows, columns) = machine().register_bytes // 4, x.shape
    space = np.zeros((4, rows, columns + lanes), np.float32)  # vectors reach beyond the last column
    space[0, :, :columns], space[1, :, :columns] = x, y
    factors = np.zeros((3, columns + lanes), np.float32)
    factors[:, :columns] = curves
    logs = np.empty(columns + 4 * smoothing + 4 * lanes, np.float32)
    stride = space.strides[1]
    first, second, out_x, out_y = map(address_of, space)
    jit.function(name, build, arguments)(
        *(rows, first, second, stride, max(columns, lanes)),
        *(out_x, stride, out_y, stride),
        *(0, 0, 0, 0),
        *(address_of(factors), factors.strides[0], address_of(logs), finish.reach * 4, columns),
        *(*margins, floor),
    )
    return space[2, :, :columns], space[3, :, :columns]
