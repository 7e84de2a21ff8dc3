"""How is the Fourier transform of real rows written down for vectors, so that a row's bits are its own?

A lane is a row: as many rows as a vector has lanes are turned, transformed side by side, and turned back. So no
row ever meets another, all rows are treated alike, and since LLVM neither fuses nor reorders floats unless told to,
the bits are the same on every processor.

    n real samples, as n / 2 complex ones:   z[j] = x[2j] + i x[2j+1]
    transform of z, by Stockham's passes:    radix 8, then 4; in order, from one buffer to the other and back
    the spectra of even and odd samples      E[k] = (Z[k] + Z*[-k]) / 2,   O[k] = (Z[k] - Z*[-k]) / 2i
    follow from symmetry, and with them      X[k] = E[k] + exp(-2πik / n) O[k]

The way back takes these steps in reverse; an inverse transform is a transform with real and imaginary parts
exchanged before and after. (Van Loan: Computational Frameworks for the Fast Fourier Transform, SIAM 1992.)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from hpss_batch.dsp.kernels.ir import Value, Writer
from hpss_batch.dsp.kernels.jit import Machine

Complex = tuple[Value, Value]

LANES = 8
"""Rows side by side. More would fit in wider registers, but not in the cache; narrower registers are paired."""

PARAMETERS = ["ptr inputs", "ptr window", "ptr twiddles", "ptr outputs", "ptr work", "i64 rows"]
"""Addresses of the rows read and written; tables; two buffers of n + 2 vectors; a whole number of vectors of rows."""


def radices(n_fft: int) -> list[int]:
    """Radices of the passes over n_fft / 2 complex samples."""
    exponent = (n_fft // 2).bit_length() - 1
    eights, rest = divmod(exponent, 3)
    return [8] * eights + [4] if rest == 2 else [8] * (eights - 1) + [4, 4] if rest == 1 else [8] * eights


def twiddles(n_fft: int) -> NDArray[np.float32]:
    """Cosines and sines, in the order of use: for every pass but the last, then those that part even and odd."""
    angles, length = [], n_fft // 2
    for radix in radices(n_fft)[:-1]:
        turns = np.outer(np.arange(length // radix), np.arange(1, radix)) / length
        angles.append(turns.ravel())
        length //= radix
    angles.append(np.arange(1, n_fft // 4 + 1) / n_fft)
    values = np.exp(-2j * np.pi * np.concatenate(angles))
    values[-1] = -1j
    return values.astype(np.complex64).view(np.float32)


def forward_code(name: str, n_fft: int, machine: Machine) -> str:
    """Windowed rows of n_fft floats to rows of n_fft / 2 + 1 complex numbers."""
    code = _Transform(name, n_fft, machine)
    w = code.w
    with w.loop(w["rows"], w.lanes) as row:
        code.turn(row, "inputs", n_fft, windowed=True)
        spectrum = code.passes()
        code.join(spectrum)
        code.turn_back(row, spectrum ^ 1, n_fft + 2)
    return w.finish()


def backward_code(name: str, n_fft: int, machine: Machine) -> str:
    """Rows of n_fft / 2 + 1 complex numbers to rows of n_fft floats, n_fft times too large, times a window."""
    code = _Transform(name, n_fft, machine)
    w = code.w
    with w.loop(w["rows"], w.lanes) as row:
        code.turn(row, "inputs", n_fft + 2, into=1)
        code.part(1)
        samples = code.passes()
        code.turn_back(row, samples, n_fft, windowed=True, exchanged=True)
    return w.finish()


class _Transform:
    """The steps, each from one of the two buffers (0 and 1) of vectors to another."""

    def __init__(self, name: str, n_fft: int, machine: Machine) -> None:
        eight = dataclasses.replace(machine, register_bytes=4 * LANES)
        self.w = Writer(eight, np.dtype(np.float32), name, PARAMETERS)
        self.n_fft = n_fft
        self.vector = self.w.lanes * 4
        size = (n_fft + 2) * self.vector
        self.buffers = [self.w["work"], self.w.place(self.w["work"], size)]
        self.joining = twiddles(n_fft).size // 2 - n_fft // 4

    def turn(self, row: Value, table: str, length: int, windowed: bool = False, into: int = 0) -> None:
        """Rows of floats into the lanes of vectors."""
        w = self.w
        with w.loop(w.whole(length), w.lanes) as column:
            left = w.lower(column, length - w.lanes)
            square = [w.load(w.place(place, w.bytes(left))) for place in self._rows(table, row)]
            if windowed:
                window = w.load(w.place(w["window"], w.bytes(left)))
                square = [w.binary("fmul", values, window) for values in square]
            for i, values in enumerate(w.transpose(square)):
                w.store(values, self._at(self.buffers[into], w.add(left, i)))

    def turn_back(
        self, row: Value, source: int, length: int, windowed: bool = False, exchanged: bool = False
    ) -> None:
        """The lanes of vectors into rows of floats; `exchanged` takes odd vectors before even ones."""
        w = self.w
        with w.loop(w.whole(length), w.lanes) as column:
            left = w.lower(column, length - w.lanes)
            order = [i ^ 1 if exchanged else i for i in range(w.lanes)]
            square = w.transpose([w.load(self._at(self.buffers[source], w.add(left, i))) for i in order])
            if windowed:
                window = w.load(w.place(w["window"], w.bytes(left)))
                square = [w.binary("fmul", values, window) for values in square]
            for place, values in zip(self._rows("outputs", row), square, strict=True):
                w.store(values, w.place(place, w.bytes(left)))

    def passes(self) -> int:
        """Transform the complex numbers in buffer 0; returns the buffer where they end up."""
        w, length, stride, table, buffer = self.w, self.n_fft // 2, 1, 0, 0
        for radix in radices(self.n_fft):
            parts = length // radix
            source, target = self.buffers[buffer], self.buffers[buffer ^ 1]
            with w.loop(w.whole(parts)) as part:
                factors = None
                if parts > 1:
                    at = w.place(w["twiddles"], w.add(w.multiply(part, 8 * (radix - 1)), 8 * table))
                    factors = [self._twiddle(at, j) for j in range(radix - 1)]
                with w.loop(w.whole(stride)) as offset:
                    first = w.add(w.multiply(part, stride), offset)
                    values = [self._load(source, w.add(first, stride * parts * k)) for k in range(radix)]
                    first = w.add(w.multiply(part, stride * radix), offset)
                    for j, value in enumerate(_dft(w, values)):
                        if j and factors:
                            value = _product(w, value, factors[j - 1])
                        self._store(value, target, w.add(first, stride * j))
            table += parts * (radix - 1) if parts > 1 else 0
            length, stride, buffer = parts, stride * radix, buffer ^ 1
        return buffer

    def join(self, source: int) -> None:
        """Of the transform of n / 2 complex samples, that of n real ones."""
        w, half = self.w, self.n_fft // 2
        z, x = self.buffers[source], self.buffers[source ^ 1]
        zero, last = w.whole(0), w.whole(half)
        re, im = self._load(z, zero)
        none = w.splat(0.0)
        self._store((w.binary("fadd", re, im), none), x, zero)
        self._store((w.binary("fsub", re, im), none), x, last)
        halved = w.splat(0.5)
        with self._pairs() as (k, mirrored, factor):
            (a_re, a_im), (b_re, b_im) = self._load(z, k), self._load(z, mirrored)
            even_re, even_im = w.binary("fadd", a_re, b_re), w.binary("fsub", a_im, b_im)
            odd_re, odd_im = w.binary("fadd", a_im, b_im), w.binary("fsub", b_re, a_re)
            even_re, even_im, odd_re, odd_im = (
                w.binary("fmul", value, halved) for value in (even_re, even_im, odd_re, odd_im)
            )
            odd_re, odd_im = _product(w, (odd_re, odd_im), factor)
            self._store((w.binary("fadd", even_re, odd_re), w.binary("fadd", even_im, odd_im)), x, k)
            self._store((w.binary("fsub", even_re, odd_re), w.binary("fsub", odd_im, even_im)), x, mirrored)

    def part(self, source: int) -> None:
        """The reverse of `join`, twice as large, and with real and imaginary parts exchanged."""
        w, half = self.w, self.n_fft // 2
        x, z = self.buffers[source], self.buffers[source ^ 1]
        zero, last = w.whole(0), w.whole(half)
        # The imaginary parts of these two have no meaning: what they hold is skipped.
        (a, _), (b, _) = self._load(x, zero), self._load(x, last)
        self._store((w.binary("fsub", a, b), w.binary("fadd", a, b)), z, zero)
        with self._pairs() as (k, mirrored, factor):
            (a_re, a_im), (b_re, b_im) = self._load(x, k), self._load(x, mirrored)
            even_re, even_im = w.binary("fadd", a_re, b_re), w.binary("fsub", a_im, b_im)
            odd_re, odd_im = w.binary("fsub", a_re, b_re), w.binary("fadd", a_im, b_im)
            # Times the conjugate of the factor.
            odd_im, odd_re = _product(w, (odd_im, odd_re), factor)
            self._store((w.binary("fadd", even_im, odd_re), w.binary("fsub", even_re, odd_im)), z, k)
            self._store((w.binary("fsub", odd_re, even_im), w.binary("fadd", even_re, odd_im)), z, mirrored)

    @contextmanager
    def _pairs(self) -> Iterator[tuple[Value, Value, Complex]]:
        """Do the body for k from 1 to n / 4, with n / 2 - k and exp(-2πik / n)."""
        w = self.w
        with w.loop(w.whole(self.n_fft // 4)) as i:
            k = w.add(i, 1)
            place = w.place(w["twiddles"], w.add(w.multiply(i, 8), 8 * self.joining))
            yield k, w.binary("sub", w.whole(self.n_fft // 2), k), self._twiddle(place, 0)

    def _rows(self, table: str, row: Value) -> list[Value]:
        """Where the rows of a vector begin."""
        w = self.w
        here = w.place(w[table], w.multiply(row, 8))
        return [w.load(w.place(here, 8 * i), "ptr") for i in range(w.lanes)]

    def _twiddle(self, place: Value, j: int) -> Complex:
        w = self.w
        re, im = (w.spread(w.load(w.place(place, 8 * j + part), "float")) for part in (0, 4))
        return re, im

    def _at(self, buffer: Value, vector: Value) -> Value:
        return self.w.place(buffer, self.w.multiply(vector, self.vector))

    def _load(self, buffer: Value, index: Value) -> Complex:
        place = self._at(buffer, self.w.multiply(index, 2))
        return self.w.load(place), self.w.load(self.w.place(place, self.vector))

    def _store(self, value: Complex, buffer: Value, index: Value) -> None:
        place = self._at(buffer, self.w.multiply(index, 2))
        self.w.store(value[0], place)
        self.w.store(value[1], self.w.place(place, self.vector))


def _product(w: Writer, a: Complex, b: Complex) -> Complex:
    re = w.binary("fsub", w.binary("fmul", a[0], b[0]), w.binary("fmul", a[1], b[1]))
    return re, w.binary("fadd", w.binary("fmul", a[0], b[1]), w.binary("fmul", a[1], b[0]))


def _dft(w: Writer, a: list[Complex]) -> list[Complex]:
    """The transform of 2, 4 or 8 complex numbers."""

    def sums(x: Complex, y: Complex) -> tuple[Complex, Complex]:
        """x + y and x - y."""
        added, taken = ((w.binary(op, x[0], y[0]), w.binary(op, x[1], y[1])) for op in ("fadd", "fsub"))
        return added, taken

    def turned_sums(x: Complex, y: Complex) -> tuple[Complex, Complex]:
        """x - iy and x + iy."""
        minus = w.binary("fadd", x[0], y[1]), w.binary("fsub", x[1], y[0])
        return minus, (w.binary("fsub", x[0], y[1]), w.binary("fadd", x[1], y[0]))

    if len(a) == 2:
        return list(sums(*a))
    even, odd = _dft(w, a[0::2]), _dft(w, a[1::2])
    pairs, quarter = [], len(a) // 4
    for j, (x, y) in enumerate(zip(even, odd, strict=True)):
        # Times exp(-2πij / n), of which whole quarter turns only exchange parts.
        turn = j % quarter
        if 2 * turn == quarter and turn:
            root = w.splat(float(np.float32(0.5**0.5)))
            re, im = w.binary("fadd", y[0], y[1]), w.binary("fsub", y[1], y[0])
            y = w.binary("fmul", re, root), w.binary("fmul", im, root)
        elif turn:
            factor = np.complex64(np.exp(-2j * np.pi * turn / len(a)))
            y = _product(w, y, (w.splat(float(factor.real)), w.splat(float(factor.imag))))
        pairs.append(turned_sums(x, y) if j >= quarter else sums(x, y))
    return [first for first, _ in pairs] + [second for _, second in pairs]
