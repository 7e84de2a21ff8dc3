import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpss_batch.errors import ParameterError
from hpss_batch.store.layout import (
    CHUNK_FRAMES,
    COLUMNS,
    Placed,
    cut,
    default_unit_frames,
    from_rows,
    place,
    round_up,
)

UNIT = 16
lengths = st.lists(st.integers(0, 70), max_size=40)


def rows_of(lengths: list[int], start: int = 0) -> list[Placed]:
    starts = place(lengths, UNIT, start)
    return [
        Placed(f"track {i}", f"/music/{i}", at, n, n * 512, n * 512, 44100, 1, 100, 7)
        for i, (n, at) in enumerate(zip(lengths, starts, strict=True))
    ]


def test_short_tracks_share_a_unit_and_never_cross_its_border() -> None:
    assert list(place([10, 6, 1, 15, 2], UNIT)) == [0, 10, 16, 17, 32]


def test_a_long_track_starts_on_a_border_and_short_ones_follow_in_its_last_unit() -> None:
    assert list(place([3, 40, 8, 1], UNIT)) == [0, 16, 56, 64]


def test_tracks_of_no_frames_take_no_place() -> None:
    assert list(place([0, 16, 0, 0, 5], UNIT)) == [0, 0, 16, 16, 16]


@given(lengths, st.integers(0, 5))
def test_placement_is_what_the_design_says(lengths: list[int], units: int) -> None:
    rows = rows_of(lengths, units * UNIT)
    end = units * UNIT
    for row in rows:
        assert row.frame_start >= end, "tracks overlap"
        end = row.frame_start + row.n_frames
        if row.n_frames > UNIT:
            assert row.frame_start % UNIT == 0
        elif row.n_frames:
            assert row.frame_start // UNIT == (end - 1) // UNIT, "a track that fits crosses a border"


@given(lengths, st.integers(0, 100))
def test_cutting_covers_every_frame_of_every_track_once(lengths: list[int], first_index: int) -> None:
    rows = rows_of(lengths)
    seen = {first_index + i: 0 for i in range(len(rows))}
    last = -1
    for unit in cut(rows, UNIT, first_index):
        assert unit.number > last
        assert unit.pieces
        last, cursor = unit.number, 0
        for piece in unit.pieces:
            assert piece.n_frames > 0
            assert piece.first == seen[piece.index]
            assert piece.offset >= cursor
            assert piece.track.frame_start + piece.first == unit.number * UNIT + piece.offset
            cursor = piece.offset + piece.n_frames
            seen[piece.index] = piece.stop
        assert cursor <= UNIT
    assert [seen[first_index + i] for i in range(len(rows))] == lengths


def test_placing_from_the_middle_of_a_unit_is_refused() -> None:
    with pytest.raises(ParameterError, match="starts at frame 5"):
        list(place([1], UNIT, start=5))


def test_rows_survive_the_way_to_json_and_back() -> None:
    rows = rows_of([3, 4])
    assert from_rows(COLUMNS, [row.as_row() for row in rows]) == rows
    later = [*COLUMNS, "something_of_a_later_version"]
    assert from_rows(later, [[*row.as_row(), 1] for row in rows]) == rows


@pytest.mark.parametrize("n_bins", [1, 2, 129, 513, 1025, 2049, 10**6])
def test_a_unit_takes_about_128_mib_and_a_whole_number_of_chunks(n_bins: int) -> None:
    frames = default_unit_frames(n_bins)
    assert frames % CHUNK_FRAMES == 0
    if n_bins < 15_000:
        assert 80 * 2**20 < frames * n_bins * 4 < 180 * 2**20


def test_round_up() -> None:
    assert [round_up(n, UNIT) for n in (0, 1, 16, 17)] == [0, 16, 16, 32]
