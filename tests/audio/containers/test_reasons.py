"""How much may be missing before a recording counts as cut short, and words for what went wrong."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpss_batch.audio.containers.reasons import cannot_decode, too_short, why_no_file


@pytest.mark.parametrize(
    ("held", "announced", "fine"),
    [
        (6_407_424, 6_412_934, True),  # an MP3 of the wild, at 22,050 Hz
        (2_747_769, 2_747_873, True),  # an Ogg of the wild
        (900_000, 1_000_000, False),
        (990_000, 1_000_000, True),
        (90, 100, True),
        (89, 100, False),
        (0, 100, False),
        (0, 0, True),
        (99_900_000, 100_000_000, True),
        (99_800_000, 100_000_000, False),
        (101, 100, True),
    ],
)
def test_shortfall(held: int, announced: int, fine: bool) -> None:
    assert (too_short(held, announced, 22_050) is None) == fine


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.integers(1, 10**6))
def test_less_is_never_better(held: int, announced: int, rate: int) -> None:
    if too_short(held, announced, rate) is None:
        assert too_short(held + 1, announced, rate) is None
    else:
        assert f"holds {held / rate:.1f} s" in str(too_short(held, announced, rate))


def test_words() -> None:
    assert "after 2.0 s of the 4.0 s that it announces (libsndfile: lost sync)" in cannot_decode(
        20, 40, 10, "Error : lost sync."
    )
    assert "after 2.0 s (libsndfile: no reason given)" in cannot_decode(20, None, 10, "")
    assert "with an error (libsndfile: lost sync)" in cannot_decode(None, 40, 10, "lost sync")
    assert "Input/output error" in why_no_file(OSError(5, "Input/output error"))
    assert "something" in why_no_file(OSError("something"))
