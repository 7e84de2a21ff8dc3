"""What is written for LLVM does what it says."""

import ctypes

import numpy as np
import pytest

from hpss_batch.dsp.kernels import jit
from hpss_batch.dsp.kernels.ir import Writer, joined
from hpss_batch.dsp.kernels.jit import Machine, machine

FLOATS = [np.dtype(np.float32), np.dtype(np.float64)]


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_transpose(dtype):
    lanes = machine().register_bytes // dtype.itemsize
    name = f"test_transpose_{dtype}"

    def build(machine: Machine) -> str:
        w = Writer(machine, dtype, name, ["ptr rows", "ptr columns"])
        places = [i * w.vector_bytes for i in range(w.lanes)]
        square = w.transpose([w.load(w.place(w["rows"], place)) for place in places])
        for place, value in zip(places, square, strict=True):
            w.store(value, w.place(w["columns"], place))
        return w.finish()

    rows = np.arange(lanes * lanes, dtype=dtype).reshape(lanes, lanes)
    columns = np.zeros_like(rows)
    jit.function(name, build, [ctypes.c_void_p] * 2)(rows.ctypes.data, columns.ctypes.data)
    np.testing.assert_array_equal(columns, rows.T)


def test_loops_nest_carry_values_and_may_do_nothing():
    def build(machine: Machine) -> str:
        w = Writer(machine, FLOATS[0], "test_loops", ["i64 n", "i64 m", "ptr out"])
        total = [w.whole(0)]
        with w.loop(w["n"], carried=total) as i:
            total[0] = w.add(total[0], 1000)
            with w.loop(w["m"], 2, total) as j:
                total[0] = w.add(total[0], w.multiply(i, j))
        w.store(total[0], w["out"])
        return w.finish()

    function = jit.function("test_loops", build, [ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p])
    for n, m in ((0, 5), (3, 0), (1, 1), (4, 7), (5, 8)):
        out = np.zeros(1, np.int64)
        function(n, m, out.ctypes.data)
        assert out[0] == 1000 * n + sum(i * j for i in range(n) for j in range(0, m, 2))


def test_division_by_a_reciprocal_is_division_for_every_float32():
    """For 1 + a; below 2^-25 that is 1 as rounded, and nothing can go wrong."""

    def build(machine: Machine) -> str:
        w = Writer(machine, FLOATS[0], "test_divided", ["ptr numbers", "i64 n", "ptr unequal"])
        one = w.splat(1.0)
        with w.loop(w["n"], w.lanes) as i:
            a = w.load(w.place(w["numbers"], w.bytes(i)))
            b = w.binary("fadd", one, a)
            found, right = w.divided(a, b, w.binary("fdiv", one, b)), w.binary("fdiv", a, b)
            bits = w.binary("xor", w.cast("bitcast", found, w.integers), w.cast("bitcast", right, w.integers))
            w.store(w.binary("or", w.load(w["unequal"], w.integers), bits), w["unequal"])
        return w.finish()

    function = jit.function("test_divided", build, [ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p])
    unequal = np.zeros(machine().register_bytes // 4, np.uint32)
    first, last = (int(np.float32(x).view(np.uint32)) for x in (2.0**-25, 1.0))
    step = 1 << 20
    numbers = np.arange(first, first + step, dtype=np.uint32)
    for _ in range(first, last + 1, step):
        np.minimum(numbers, last, out=numbers)
        function(numbers.ctypes.data, step, unequal.ctypes.data)
        numbers += step
    assert numbers.max() > last
    assert not unequal.any()


def test_what_functions_declare_is_declared_once():
    writers = [Writer(machine(), FLOATS[0], name, ["ptr at"]) for name in ("one", "two")]
    for w in writers:
        value = w.load(w["at"], w.integers)
        w.store(w.maximum(value, value), w["at"])
    module = joined([w.finish() for w in writers])
    assert module.count("declare") == 1
    assert module.count("define") == 2


@pytest.mark.parametrize("number", [0.0, 0.5, 1.17549435e-38, float("inf"), -3.25])
def test_constants_are_exact(number):
    dtype = FLOATS[1]
    name = f"test_constant_{abs(hash(number))}"

    def build(machine: Machine) -> str:
        w = Writer(machine, dtype, name, ["ptr out"])
        w.store(w.splat(number), w["out"])
        return w.finish()

    out = np.zeros(machine().register_bytes // 8)
    jit.function(name, build, [ctypes.c_void_p])(out.ctypes.data)
    assert (out == number).all()
