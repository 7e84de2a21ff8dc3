"""Each moment belongs to the step that was named last."""

import pytest

from hpss_batch.tasks import clock as module
from hpss_batch.tasks.clock import Clock


def test_moments_belong_to_the_step_named_last(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter([10.0, 11.0, 13.0, 20.0, 24.0, 29.0])
    monkeypatch.setattr(module, "perf_counter", lambda: next(moments))
    clock = Clock("read", "write", "rest")
    for step in ("read", "write", "read", None, "write", None):
        clock.step(step)
    assert clock.seconds == {"read": 8.0, "write": 7.0, "rest": 0.0}
