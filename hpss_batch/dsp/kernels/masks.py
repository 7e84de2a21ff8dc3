"""How do two medians become masks or components, in vector code?

As `dsp/masks.py` says, for powers 1 and 2 and hard masks. There one of x / z and y / z is 1, so that each mask costs
two divisions, and a pair without margins three:

    ratio = lower / z    part = ratio^power    total = 1 + part    masks: 1 / total and part / total
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from hpss_batch.dsp.kernels.ir import Value, Writer
from hpss_batch.dsp.kernels.jit import Machine
from hpss_batch.dsp.kernels.passes import Float

Result = Literal["mask", "bool", "product", "component"]


@dataclass(frozen=True)
class Finish:
    """What becomes of two medians, in vector code.

    Attributes
    ----------
    power
        1, 2, or infinity.
    margins
        Whether any margin exceeds 1.
    result
        Masks as floats; hard masks as bytes; masks times the magnitude; or masks times the complex spectrum.
    """

    power: float
    margins: bool
    result: Result

    @property
    def name(self) -> str:
        """Tells it from others, in the names of functions."""
        return f"{self.result}_{'hard' if math.isinf(self.power) else int(self.power)}{'_margins' * self.margins}"

    def itemsize(self, itemsize: int) -> int:
        """Bytes of one result, for floats of some size."""
        return {"mask": itemsize, "bool": 1, "product": itemsize, "component": 2 * itemsize}[self.result]


def finish_code(machine: Machine, dtype: Float, finish: Finish) -> str:
    """Code for as many rows as there are lanes, from medians x and y in rows `stride` bytes apart."""
    parameters = ["ptr x", "ptr y", "i64 stride", "i64 columns"]
    parameters += ["ptr out_x", "i64 stride_x", "ptr out_y", "i64 stride_y"]
    parameters += ["ptr magnitude", "i64 magnitude_stride", "ptr spectrum", "i64 spectrum_stride"]
    w = Writer(machine, dtype, "finish", [*parameters, "{element} margin_x", "{element} margin_y"])
    margins = (w.spread(w["margin_x"]), w.spread(w["margin_y"])) if finish.margins else None
    size = finish.itemsize(w.itemsize)
    with w.loop(w.whole(w.lanes)) as i:

        def row(base: str, stride: str, i: Value = i) -> Value:
            return w.place(w[base], w.multiply(i, w[stride]))

        x, y, out_x, out_y = (
            row("x", "stride"),
            row("y", "stride"),
            row("out_x", "stride_x"),
            row("out_y", "stride_y"),
        )
        magnitude, spectrum = row("magnitude", "magnitude_stride"), row("spectrum", "spectrum_stride")
        with w.loop(w["columns"], w.lanes) as column:
            left = w.lower(column, w.add(w["columns"], -w.lanes))
            place = w.bytes(left)
            masks = _masks(w, finish, w.load(w.place(x, place)), w.load(w.place(y, place)), margins)
            parts = _spectrum(w, finish, w.place(magnitude, place), w.place(spectrum, w.multiply(place, 2)))
            for mask, out in zip(masks, (out_x, out_y), strict=True):
                for part, value in enumerate(_results(w, finish, mask, parts)):
                    w.store(value, w.place(out, w.add(w.multiply(left, size), part * w.vector_bytes)))
    return w.finish()


def _masks(
    w: Writer, finish: Finish, x: Value, y: Value, margins: tuple[Value, Value] | None
) -> tuple[Value, Value]:
    """Both masks, as floats, or as bits if bytes are wanted."""
    if margins:
        reference_x, reference_y = w.binary("fmul", y, margins[0]), w.binary("fmul", x, margins[1])
    else:
        reference_x, reference_y = y, x
    if math.isinf(finish.power):
        wins = w.compare("ogt", x, reference_x), w.compare("ogt", y, reference_y)
        if finish.result == "bool":
            return wins
        one, nothing = w.splat(1.0), w.splat(0.0)
        return w.select(wins[0], one, nothing), w.select(wins[1], one, nothing)
    if margins:
        return _soft(w, finish.power, x, reference_x), _soft(w, finish.power, y, reference_y)
    part, total, silent = _terms(w, finish.power, x, y, w.splat(1.0))
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
