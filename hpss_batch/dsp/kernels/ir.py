"""How are loops over vectors written down for LLVM?

A `Writer` writes one function as LLVM's text, instruction by instruction; a value is its type and its name. Vectors
fill one register of the machine, their lanes are neighbours in memory, and no loop has a remainder: callers let the
last vector overlap the one before it.

    w = Writer(machine, np.dtype(np.float32), "double", ["ptr data", "i64 n"])
    with w.loop(w["n"], w.lanes) as i:
        place = w.place(w["data"], w.bytes(i))
        x = w.load(place)
        w.store(w.binary("fadd", x, x), place)
    text = w.finish()
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from hpss_batch.dsp.kernels.jit import Machine

Float = np.dtype[np.floating[Any]]


def joined(functions: Sequence[str]) -> str:
    """One module of some functions: what several of them declare is declared once."""
    lines = "".join(functions).splitlines()
    declarations = {line for line in lines if line.startswith("declare ")}
    return "\n".join([*(line for line in lines if line not in declarations), *sorted(declarations)]) + "\n"


class Value(NamedTuple):
    """What an instruction yields, or a constant; as text, what LLVM takes for an operand."""

    type: str
    name: str

    def __str__(self) -> str:
        return f"{self.type} {self.name}"


class Writer:
    """Writes one function over vectors of one type of float.

    Attributes
    ----------
    lanes, vector_bytes
        Elements in a vector, and its size.
    tiny
        The smallest float with all its digits.
    vector, integers
        LLVM's types of a vector of floats, and of one of integers as wide.
    """

    def __init__(
        self,
        machine: Machine,
        dtype: Float,
        name: str,
        parameters: Sequence[str],
        result: str = "void",
    ) -> None:
        self.itemsize = dtype.itemsize
        self.lanes = machine.register_bytes // dtype.itemsize
        self.element = {4: "float", 8: "double"}[dtype.itemsize]
        self.word = f"i{8 * dtype.itemsize}"
        self.vector = f"<{self.lanes} x {self.element}>"
        self.integers = f"<{self.lanes} x {self.word}>"
        self.vector_bytes = machine.register_bytes
        self.tiny = float(np.finfo(dtype).tiny)
        self._fused = machine.fused and dtype.itemsize == 4
        typed = (text.format(element=self.element).split() for text in parameters)
        self._arguments = {name: Value(type, name) for type, name in typed}
        listed = ", ".join(f"{value.type} %{value.name}" for value in self._arguments.values())
        self._lines = [f"define {result} @{name}({listed}) {{", "start:"]
        self._block = "start"
        self._count = 0
        self._declared: set[str] = set()

    def __getitem__(self, parameter: str) -> Value:
        value = self._arguments[parameter]
        return Value(value.type, f"%{value.name}")

    def finish(self, result: Value | None = None) -> str:
        """The function, and declarations of what it calls."""
        self._line(f"ret {result or 'void'}")
        return "\n".join([*self._lines, "}", *sorted(self._declared)]) + "\n"

    # Constants

    def whole(self, number: int) -> Value:
        """An i64."""
        return Value("i64", str(number))

    def scalar(self, number: float) -> Value:
        """One float, exactly."""
        bits = struct.unpack("<Q", struct.pack("<d", number))[0]
        return Value(self.element, f"0x{bits:016X}")

    def splat(self, number: float) -> Value:
        """A vector of one number, exactly."""
        return self._repeated(self.vector, str(self.scalar(number)))

    def repeated_integer(self, number: int) -> Value:
        """A vector of one integer."""
        return self._repeated(self.integers, f"{self.word} {number}")

    def spread(self, scalar: Value) -> Value:
        """A vector of one element."""
        one = self._yield(self.vector, f"insertelement {self.vector} poison, {scalar}, i32 0")
        return self._yield(
            self.vector, f"shufflevector {one}, {self.vector} poison, {self._indices([0] * self.lanes)}"
        )

    # Whole numbers and places in memory

    def add(self, a: Value, b: Value | int) -> Value:
        """a + b, of i64."""
        return self.binary("add", a, self._whole(b))

    def multiply(self, a: Value, b: Value | int) -> Value:
        """a × b, of i64."""
        return self.binary("mul", a, self._whole(b))

    def less(self, a: Value, b: Value | int) -> Value:
        """Whether a < b, of i64 with sign."""
        return self._yield("i1", f"icmp slt {a}, {self._whole(b).name}")

    def lower(self, a: Value, b: Value | int) -> Value:
        """The lower of two i64, with sign."""
        return self.select(self.less(a, b), a, self._whole(b))

    def equal(self, a: Value, b: Value | int) -> Value:
        """Whether two i64 are equal."""
        return self._yield("i1", f"icmp eq {a}, {self._whole(b).name}")

    def bytes(self, n: Value) -> Value:
        """Size in memory of n elements."""
        return self.multiply(n, self.itemsize)

    def place(self, base: Value, offset: Value | int) -> Value:
        """An address, some bytes on from another."""
        return self._yield("ptr", f"getelementptr i8, {base}, {self._whole(offset)}")

    def load(self, place: Value, type: str | None = None) -> Value:
        """A vector of floats at an address, or something of another type."""
        align = 8 if type == "i64" else self.itemsize
        return self._yield(type or self.vector, f"load {type or self.vector}, {place}, align {align}")

    def store(self, value: Value, place: Value) -> None:
        """Write a value to an address."""
        self._line(f"store {value}, {place}, align {1 if 'x i8' in value.type else self.itemsize}")

    def prefetch(self, place: Value) -> None:
        """Ask for a line of memory to be read into the second level of the cache; a hint, which never fails."""
        self._declared.add("declare void @llvm.prefetch.p0(ptr, i32, i32, i32)")
        self._line(f"call void @llvm.prefetch.p0({place}, i32 0, i32 2, i32 1)")

    # Lane by lane

    def binary(self, operation: str, a: Value, b: Value) -> Value:
        """An instruction with two operands of one type: fadd, fsub, fmul, fdiv, and, or, …"""
        return self._yield(a.type, f"{operation} {a}, {b.name}")

    def compare(self, relation: str, a: Value, b: Value) -> Value:
        """Which lanes of two vectors of floats are in a relation: ogt, oge, olt, oeq, …"""
        return self._yield(f"<{self.lanes} x i1>", f"fcmp {relation} {a}, {b.name}")

    def select(self, condition: Value, yes: Value, no: Value) -> Value:
        """Lane by lane, one or the other."""
        return self._yield(yes.type, f"select {condition}, {yes}, {no}")

    def minimum(self, a: Value, b: Value) -> Value:
        """Lane by lane, the lower of two vectors of floats without NaN, or of integers with sign."""
        return self._extreme("olt", "smin", a, b)

    def maximum(self, a: Value, b: Value) -> Value:
        """Lane by lane, the higher of two vectors of floats without NaN, or of integers with sign."""
        return self._extreme("ogt", "smax", a, b)

    def highest_bits(self, a: Value, b: Value) -> Value:
        """Lane by lane, the higher of two vectors of integers without sign."""
        return self._call("umax", a, b)

    def divided(self, a: Value, b: Value, reciprocal: Value) -> Value:
        """a / b, rounded as a division is, for b = 1 + a as rounded, 0 <= a <= 1, and 1 / b as rounded.

        The product with the reciprocal is at most two units off; what it leaves of a is exact in one fused
        operation, and puts it right (Markstein 1990). float32 has so few such a that a test tries them all.
        """
        if not self._fused:
            return self.binary("fdiv", a, b)
        quotient = self.binary("fmul", a, reciprocal)
        rest = self._call("fma", self._yield(b.type, f"fneg {b}"), quotient, a)
        return self._call("fma", rest, reciprocal, quotient)

    def cast(self, operation: str, a: Value, type: str) -> Value:
        """An instruction that makes another type of a value: bitcast, zext, uitofp, …"""
        return self._yield(type, f"{operation} {a} to {type}")

    def shuffle(self, a: Value, b: Value, lanes: Sequence[int]) -> Value:
        """Lanes of a (from 0 on) and of b (from its number of lanes on)."""
        element = a.type.split(" x ")[1].rstrip(">")
        return self._yield(f"<{len(lanes)} x {element}>", f"shufflevector {a}, {b}, {self._indices(lanes)}")

    def transpose(self, rows: Sequence[Value]) -> list[Value]:
        """Columns of a square of as many vectors as they have lanes.

        First within 16 bytes, the pieces that processors shuffle fastest: vectors are interleaved with those half a
        piece further on, until each piece holds a column. Then whole pieces find their places: those at even
        positions of two vectors go together, and those at odd ones.
        """
        n, piece = self.lanes, 16 // self.itemsize
        half, pieces, rows = piece // 2, n // piece, list(rows)
        interleaved = [
            [start + i + of for start in range(part, n, piece) for i in range(half) for of in (0, n)]
            for part in (0, half)
        ]
        for _ in range(piece.bit_length() - 1):
            rows = [
                self.shuffle(rows[start + i], rows[start + i + half], lanes)
                for start in range(0, n, piece)
                for i in range(half)
                for lanes in interleaved
            ]
        gathered = [
            [start * piece + i for start in range(parity, 2 * pieces, 2) for i in range(piece)]
            for parity in (0, 1)
        ]
        for _ in range(pieces.bit_length() - 1):
            rows = [
                self.shuffle(rows[pair + i], rows[pair + piece + i], lanes)
                for lanes in gathered
                for pair in range(0, n, 2 * piece)
                for i in range(piece)
            ]
        return rows

    # Control

    @contextmanager
    def loop(self, stop: Value, step: Value | int = 1, carried: list[Value] | None = None) -> Iterator[Value]:
        """Do the body for 0, step, 2 × step, … below stop; perhaps never.

        Values in `carried` are those before the loop, in its body those after the round before, to be replaced by
        those after this one, and behind the loop those after the last.
        """
        carried = [] if carried is None else carried
        number, self._count, before = self._count + 1, self._count + 1, self._block
        counter = Value("i64", f"%i{number}")
        entering = list(carried)
        carried[:] = [Value(value.type, f"%c{number}.{i}") for i, value in enumerate(carried)]
        round_start = list(carried)
        self._line(f"br label %head{number}")
        self._lines.append(f"head{number}:")
        phis = len(self._lines)
        more = self.less(counter, stop)
        self._line(f"br {more}, label %body{number}, label %behind{number}")
        self._lines.append(f"body{number}:")
        self._block = f"body{number}"
        yield counter
        following = self.add(counter, step)
        self._line(f"br label %head{number}")
        self._lines[phis:phis] = [
            f"  {start.name} = phi {start.type} [ {first.name}, %{before} ], [ {last.name}, %{self._block} ]"
            for start, first, last in zip(
                [counter, *round_start], [self.whole(0), *entering], [following, *carried], strict=True
            )
        ]
        carried[:] = round_start
        self._lines.append(f"behind{number}:")
        self._block = f"behind{number}"

    def call(self, function: Value | str, *arguments: Value) -> None:
        """Call a function of this module by name, or any by its address; it returns nothing."""
        callee = f"@{function}" if isinstance(function, str) else function.name
        self._line(f"call void {callee}({', '.join(map(str, arguments))})")

    # Text

    def _extreme(self, relation: str, function: str, a: Value, b: Value) -> Value:
        if a.type == self.integers:
            return self._call(function, a, b)
        return self.select(self.compare(f"nnan {relation}", a, b), a, b)

    def _call(self, function: str, *values: Value) -> Value:
        """One of LLVM's own functions of vectors, all of one type."""
        type = values[0].type
        kind = self.word if type == self.integers else f"f{8 * self.itemsize}"
        name = f"@llvm.{function}.v{self.lanes}{kind}"
        self._declared.add(f"declare {type} {name}({', '.join([type] * len(values))})")
        return self._yield(type, f"call {type} {name}({', '.join(map(str, values))})")

    def _whole(self, number: Value | int) -> Value:
        return self.whole(number) if isinstance(number, int) else number

    def _repeated(self, type: str, element: str) -> Value:
        return Value(type, f"<{', '.join([element] * self.lanes)}>")

    def _indices(self, lanes: Sequence[int]) -> str:
        return f"<{len(lanes)} x i32> <{', '.join(f'i32 {lane}' for lane in lanes)}>"

    def _yield(self, type: str, instruction: str) -> Value:
        self._count += 1
        name = f"%v{self._count}"
        self._line(f"{name} = {instruction}")
        return Value(type, name)

    def _line(self, text: str) -> None:
        self._lines.append(f"  {text}")
