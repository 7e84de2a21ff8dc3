"""What are logarithms and powers of 2 of vectors, with the same bits on every processor?

Polynomials of additions and multiplications, each rounded on its own (nothing here allows LLVM to fuse them), and
exact steps on the bits of numbers. A library's functions have other last bits from one processor to the next.

    log2 x = e + log2 m      m = x / 2^e in [√½, √2); log2 m = f P(f) with f = m - 1
    2^x    = 2^n 2^r         n = x, rounded; 2^r = 1 + r Q(r) with r = x - n in [-½, ½]

P and Q have the least relative error of their degree, 2.6e-8 and 1.1e-8. With roundings, results are off by less than
2.5 and 1.2 units in the last place, over all of the range that is stated; the tests try it against float64.
"""

from __future__ import annotations

import numpy as np

from hpss_batch.dsp.kernels.ir import Value, Writer

P = (
    0.12583698332309723, -0.20726972818374634, 0.21571561694145203, -0.23894482851028442, 0.28791624307632446,
    -0.3607036769390106, 0.48091062903404236, -0.7213473320007324, 1.4426950216293335,
)  # fmt: skip
Q = (
    0.00015403512225020677, 0.0013390735257416964, 0.009618237614631653, 0.05550357326865196,
    0.24022649228572845, 0.6931471824645996,
)  # fmt: skip

ROOT_HALF_BITS, MANTISSA_BITS, SIGN_BIT = 0x3F3504F3, 23, -(2**31)

LOWEST_POWER = -126.0
"""The least exponent of a number with all its digits."""

ROUNDING = 1.5 * 2**23
"""Added to a smaller number, it leaves that rounded to a whole one in the lowest bits of the sum."""


def log2(w: Writer, x: Value) -> Value:
    """log2 x of float32, from the smallest number with all its digits on. Of less, of 0 too, about -127; of ∞ 128."""
    bits, digits = w.cast("bitcast", x, w.integers), w.repeated_integer(MANTISSA_BITS)
    exponent = w.binary("ashr", w.binary("sub", bits, w.repeated_integer(ROOT_HALF_BITS)), digits)
    mantissa = w.cast("bitcast", w.binary("sub", bits, w.binary("shl", exponent, digits)), w.vector)
    f = w.binary("fsub", mantissa, w.splat(1.0))
    return w.binary("fadd", w.binary("fmul", _polynomial(w, P, f), f), w.cast("sitofp", exponent, w.vector))


def exp2(w: Writer, x: Value) -> Value:
    """2^x of float32, from `LOWEST_POWER` to 0."""
    rounded = w.binary("fadd", x, w.splat(ROUNDING))
    r = w.binary("fsub", x, w.binary("fsub", rounded, w.splat(ROUNDING)))
    y = w.binary("fadd", w.binary("fmul", _polynomial(w, Q, r), r), w.splat(1.0))
    n = w.binary("shl", w.cast("bitcast", rounded, w.integers), w.repeated_integer(MANTISSA_BITS))
    return w.cast("bitcast", w.binary("add", w.cast("bitcast", y, w.integers), n), w.vector)


def below_zero(w: Writer, x: Value) -> Value:
    """-|x| of float32."""
    bits = w.binary("or", w.cast("bitcast", x, w.integers), w.repeated_integer(SIGN_BIT))
    return w.cast("bitcast", bits, w.vector)


def _polynomial(w: Writer, coefficients: tuple[float, ...], x: Value) -> Value:
    """By Horner's rule, the highest power first."""
    y, *rest = (w.splat(float(np.float32(coefficient))) for coefficient in coefficients)
    for coefficient in rest:
        y = w.binary("fadd", w.binary("fmul", y, x), coefficient)
    return y
