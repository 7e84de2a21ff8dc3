"""Parameters are librosa's, and those that are not possible are refused with reasons."""

import math

import numpy as np
import pytest

from hpss_batch.dsp.params import HpssParams
from hpss_batch.errors import ParameterError


def test_numbers_stand_for_pairs():
    assert HpssParams.of(17, 1, 3) == HpssParams((17, 17), 1.0, (3.0, 3.0))
    assert HpssParams.of([17, 31], 2.0, (1, 5)) == HpssParams((17, 31), 2.0, (1.0, 5.0))
    assert HpssParams.of(np.int64(17), np.float32(2), np.float64(3)) == HpssParams.of(17, 2, 3)
    assert HpssParams.of(31.0).kernel_size == (31, 31)
    assert HpssParams() == HpssParams.of()


def test_types_are_plain():
    params = HpssParams.of(np.int32(5), np.float32(math.inf), [1, np.float64(2)])
    assert [type(size) for size in params.kernel_size] == [int, int]
    assert [type(margin) for margin in params.margin] == [float, float]
    assert type(params.power) is float
    assert hash(params) == hash(HpssParams((5, 5), math.inf, (1.0, 2.0)))


@pytest.mark.parametrize(("size", "halo"), [(1, 0), (2, 1), (30, 15), (31, 15), (32, 16)])
def test_halo_is_half_the_harmonic_kernel(size, halo):
    assert HpssParams.of((size, 99)).halo == halo


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kernel_size": 0}, "kernel_size has 0"),
        ({"kernel_size": (31, -1)}, "kernel_size has -1"),
        ({"kernel_size": 30.5}, "kernel_size has 30.5"),
        ({"kernel_size": True}, "kernel_size has True"),
        ({"kernel_size": "many"}, "kernel_size has 'many'"),
        ({"kernel_size": (1, 2, 3)}, "kernel_size is"),
        ({"power": 0}, "power is 0"),
        ({"power": math.nan}, "power is nan"),
        ({"power": "high"}, "power has 'high'"),
        ({"margin": 0.99}, "margin is"),
        ({"margin": (1, math.inf)}, "margin is"),
        ({"margin": math.nan}, "margin is"),
        ({"margin": None}, "margin has None"),
    ],
)
def test_what_is_not_possible_is_refused(arguments, message):
    with pytest.raises(ParameterError, match=message):
        HpssParams.of(**arguments)
