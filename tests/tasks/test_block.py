"""Values go into the store's rows as what they are, or as codes; never cut off in silence."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hpss_batch.store.arrays.schema import Shape
from hpss_batch.tasks.block import describe


def test_values_that_no_coding_is_for_are_not_cast_to_integers() -> None:
    features: Any = SimpleNamespace(of=lambda _: {"rms": np.array([0.25, 300], np.float32)})
    shape = Shape((), "float32", 5, 512, 8000)
    kept = np.zeros(2, np.float32)
    describe({}, features, shape, {"rms": kept})
    assert kept.tolist() == [0.25, 300]
    with pytest.raises(TypeError, match="same_kind"):
        describe({}, features, shape, {"rms": np.zeros(2, np.uint8)})
