"""Parameters are librosa's, and those that are not possible are refused with reasons."""

import math

import numpy as np
import pytest

from hpss_batch.dsp.methods import HpssParams
from hpss_batch.dsp.params import FeatureParams, StftParams
from hpss_batch.dsp.separation import separation
from hpss_batch.errors import ParameterError


def test_numbers_stand_for_pairs():
    assert HpssParams(17, 1, 3) == HpssParams((17, 17), 1.0, (3.0, 3.0))
    assert HpssParams([17, 31], 2.0, (1, 5)) == HpssParams((17, 31), 2.0, (1.0, 5.0))
    assert HpssParams(np.int64(17), np.float32(2), np.float64(3)) == HpssParams(17, 2, 3)
    assert HpssParams(31.0).kernel_size == (31, 31)
    assert HpssParams() == HpssParams(31, 2, 1)


def test_types_are_plain():
    params = HpssParams(np.int32(5), np.float32(math.inf), [1, np.float64(2)])
    assert [type(size) for size in params.kernel_size] == [int, int]
    assert [type(margin) for margin in params.margin] == [float, float]
    assert type(params.power) is float
    assert hash(params) == hash(HpssParams((5, 5), math.inf, (1.0, 2.0)))


@pytest.mark.parametrize(("size", "halo"), [(1, 0), (2, 1), (30, 15), (31, 15), (32, 16)])
def test_halo_is_half_the_harmonic_kernel(size, halo):
    assert separation(HpssParams((size, 99))).halo == halo


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kernel_size": 0}, "kernel_size is 0; allowed: a whole number"),
        ({"kernel_size": (31, -1)}, r"kernel_size is \(31, -1\)"),
        ({"kernel_size": 30.5}, "kernel_size is 30.5"),
        ({"kernel_size": True}, "kernel_size is True"),
        ({"kernel_size": "many"}, "kernel_size is 'many'"),
        ({"kernel_size": (1, 2, 3)}, "kernel_size is"),
        ({"power": 0}, "power is 0"),
        ({"power": math.nan}, "power is nan"),
        ({"power": "high"}, "power is 'high'"),
        ({"margin": 0.99}, "margin is"),
        ({"margin": (1, math.inf)}, "margin is"),
        ({"margin": math.nan}, "margin is"),
        ({"margin": "wide"}, "margin is 'wide'"),
    ],
)
def test_what_is_not_possible_is_refused(arguments, message):
    with pytest.raises(ParameterError, match=message):
        HpssParams(**arguments)


@pytest.mark.parametrize(
    ("keywords", "said"),
    [
        ({"n_fft": 1}, "n_fft is 1; allowed: a whole number of samples, at least 2"),
        ({"n_fft": 2048.5}, "n_fft is 2048.5"),
        ({"hop_length": 0}, "hop_length is 0"),
        ({"hop_length": True}, "hop_length is True"),
        ({"win_length": 4096}, "win_length=4096 is larger than n_fft=2048"),
        ({"win_length": 0}, "win_length is 0"),
        ({"window": "hannn"}, "window='hannn'"),
        ({"window": 14.0}, "window is 14.0"),
        ({"window": ("kaiser",)}, "window=\\('kaiser',\\)"),
        ({"window": "hann", "win_length": 2, "n_fft": 2, "center": "yes"}, "center is 'yes'"),
        ({"pad_mode": "wrap"}, r"pad_mode is 'wrap'; allowed: constant \(zeros\), edge"),
    ],
)
def test_frames_that_are_not_possible_are_refused(keywords, said):
    with pytest.raises(ParameterError, match=said):
        StftParams(**keywords)


def test_parameters_are_plain_and_hashable():
    params = StftParams(n_fft=np.int64(512), hop_length=512.0, window=["kaiser", 14.0], center=np.bool_(True))
    assert params == StftParams(n_fft=512, window=("kaiser", 14.0))
    assert hash(params) == hash(StftParams(n_fft=512, window=("kaiser", 14.0)))
    assert type(params.n_fft) is int
    assert type(params.hop_length) is int
    assert type(params.center) is bool


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kinds": ("mfcc",)}, "kinds is \\('mfcc',\\); allowed: a list of mel, log_mel"),
        ({"kinds": ()}, "kinds is"),
        ({"components": ("harmonic", "harmonic")}, "components is"),
        ({"n_mels": 0}, "n_mels is 0"),
        ({"fmin": 500.0, "fmax": 400.0}, "fmax is 400; allowed: above fmin, which is 500"),
    ],
)
def test_features_that_are_not_possible_are_refused(change, said):
    with pytest.raises(ParameterError, match=said):
        FeatureParams(**change)
