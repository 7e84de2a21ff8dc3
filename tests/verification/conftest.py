"""Verifying starts worker processes of its own; tests of what it finds do with a thread."""

import pytest
from helpers import THREADS

from hpss_batch.config.sections import Cluster


@pytest.fixture(autouse=True)
def threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "hpss_batch.verification.verify.Cluster", lambda kwargs: Cluster(kwargs=THREADS["kwargs"])
    )
