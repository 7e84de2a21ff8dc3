"""Where does each track lie on the one frame axis of a corpus, and which frames make up a unit?

All tracks share one `frame` axis, cut into *units* of `unit_frames`: a unit is one shard of every array, one task,
one commit. Tracks are placed next-fit, in the order given:

    unit 0                unit 1                unit 2                unit 3
    |aaaaaaaaabbbbbb......|cccccccccccccccccccccc|ccccccccccc|dddddd...|eeeeeeeeeeeeeeee.....|
              ^ b fits            ^ c is longer than a unit: it starts on a border,
                                    and d may follow in the last unit that c reaches

A track that fits in a unit never crosses a border, so it is one piece, one read, and needs no neighbour. Frames
between tracks (dots) belong to nobody.

A corpus grows by *generations*: tracks that are new, changed or tried again are placed behind everything that was
placed before, from a fresh border on. Nothing that was placed ever moves.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from hpss_batch.audio.choices import Channels, Decoding
from hpss_batch.audio.speakers.layouts import Layout
from hpss_batch.errors import AudioError, ParameterError, UnreachableError
from hpss_batch.files import blocks, measured, stat
from hpss_batch.ranges import CHANGED
from hpss_batch.text import file_name

Labels = Mapping[str, str | int | float]
"""What a manifest says of a track, by column: text. Layouts of earlier versions hold numbers, too."""

CHUNK_FRAMES = 512
"""Frames in a chunk, Zarr's unit of reading."""

UNIT_BYTES = 128 * 2**20
"""Bytes of float32 that a unit of one array aims at: six minutes of music at the defaults, so that one task reads a
song: some formats cannot be sought, and two tasks would decode its beginning twice. Memory does not depend on it."""


def default_unit_frames(n_bins: int) -> int:
    """Frames a unit: a whole number of chunks whose float32 array takes about 128 MiB.

    >>> default_unit_frames(1025)
    32768
    """
    chunk_bytes = CHUNK_FRAMES * n_bins * 4
    return CHUNK_FRAMES * max(1, round(UNIT_BYTES / chunk_bytes))


def channels_kept(kept: str, source_channels: int) -> int:
    """How many channels a recording of so many has in arrays and stems."""
    return 1 if kept == "mono" else source_channels


@dataclass(frozen=True, slots=True)
class Placed:
    """A track and its place: one row of the `track` dimension, for good.

    Attributes
    ----------
    id : str
        The track's id.
    path : str
        Where its audio is, in UTF-8 (other bytes as lone surrogates); its id, where frames come from a store.
    frame_start : int
        Its first frame on the frame axis.
    n_frames : int
        Frames reserved for it: an upper bound, since a header may announce more than decoding yields.
    n_samples : int
        The upper bound on its length that this follows from, in samples at the store's rate.
    source_samples, source_rate, source_channels, source_size, source_mtime : int
        As found: samples announced, Hz, channels, bytes, and nanoseconds since the epoch.
    error : str or None
        Why nothing can be computed of it, if that was known when it was placed.
    meta : mapping or None
        Further columns of the manifest, as they were when the track was placed; see `Catalog.labels`.
    digest : int or None
        `contents` of all of its file, where it has no frames, so that no task reads it.
    decoder : {"libsndfile", "ffmpeg"}
        What reads it, now and later: another one may give other numbers.
    source_layout : str
        The speakers of its channels, such as "FL FR LFE"; empty where the file says nothing, or has two at most.
    """

    id: str
    path: str
    frame_start: int
    n_frames: int
    n_samples: int
    source_samples: int
    source_rate: int
    source_channels: int
    source_size: int
    source_mtime: int
    error: str | None = None
    meta: Labels | None = None
    digest: int | None = None
    decoder: Decoding = "libsndfile"
    source_layout: str = ""

    @property
    def file(self) -> str:
        """Its path as the locale of this process has it."""
        return file_name(self.path)

    @property
    def layout(self) -> Layout:
        """The speakers of its channels."""
        return tuple(self.source_layout.split())

    def n_channels(self, kept: Channels) -> int:
        """How many of its channels arrays or stems hold."""
        return channels_kept(kept, self.source_channels)

    def has_changed(self, size: int, mtime: int) -> bool:
        """Whether a file of this size and time is another than the one that was placed."""
        return (size, mtime) != (self.source_size, self.source_mtime)

    def check_file(self) -> None:
        """Raise `AudioError` if its file is not what was placed, `OSError` if it is not there."""
        found = stat(self.file)
        if self.has_changed(found.st_size, found.st_mtime_ns):
            raise AudioError(CHANGED)

    def contents(self, begin: int, end: int) -> int | None:
        """CRC32C of bytes `begin` to `end` of its file; None where that is not what was placed, or cannot be read.

        It is there for files that have another time and the same size: one in 4 billion that was edited passes.
        """
        try:
            _, digest = measured(blocks(self.file, begin, end))
            self.check_file()
        except (OSError, AudioError, UnreachableError):
            return None
        return digest

    def as_row(self) -> list[Any]:
        """Values in the order of `COLUMNS`, fit for JSON."""
        return [getattr(self, name) for name in COLUMNS]


COLUMNS = tuple(field.name for field in fields(Placed))
"""Names of a row's values, in order."""


def place(lengths: Iterable[int], unit_frames: int, start: int = 0) -> Iterator[int]:
    """First frame of each track, next-fit.

    Parameters
    ----------
    lengths : iterable of int
        Frames of each track, 0 or more.
    unit_frames : int
        Frames a unit.
    start : int
        First frame that is free; a unit's border.

    Yields
    ------
    int
        The first frame of the next track. It never decreases, no two tracks overlap, a track of at most
        `unit_frames` lies within one unit, and a longer one starts on a border.

    Examples
    --------
    >>> list(place([500, 300, 1500, 200], unit_frames=1024))
    [0, 500, 1024, 2524]
    """
    if start % unit_frames:
        raise ParameterError(
            f"placing starts at frame {start}, which is not a border of units of {unit_frames}"
        )
    cursor = start
    for n_frames in lengths:
        left = -cursor % unit_frames
        if n_frames > left and left:
            cursor += left
        yield cursor
        cursor += n_frames


def round_up(frames: int, unit_frames: int) -> int:
    """The next border at or behind `frames`."""
    return -(-frames // unit_frames) * unit_frames


@dataclass(frozen=True, slots=True)
class Piece:
    """The part of one track that lies in one unit.

    Attributes
    ----------
    index : int
        The track's row: its `track_index`.
    track : Placed
        The track.
    first, n_frames : int
        The piece's frames, counted within the track.
    offset : int
        Where its first frame lies within the unit.
    """

    index: int
    track: Placed
    first: int
    n_frames: int
    offset: int

    @property
    def stop(self) -> int:
        """One past the piece's last frame, counted within the track."""
        return self.first + self.n_frames

    @property
    def share(self) -> tuple[int, int]:
        """Bytes of the track's file, from … to, that fall to this piece; those of all pieces are the whole file."""
        size = self.track.source_size
        return size * self.first // self.track.n_frames, size * self.stop // self.track.n_frames


@dataclass(frozen=True, slots=True)
class Unit:
    """One shard's range of frames: one task, one commit.

    Attributes
    ----------
    number : int
        The unit's place on the frame axis, and the name of its commit.
    pieces : tuple of Piece
        What lies in it, in order of frames; never empty.
    layout : str
        The layout that it is a part of, as `Catalog.layouts` has it.
    """

    number: int
    pieces: tuple[Piece, ...]
    layout: str = ""

    @property
    def n_frames(self) -> int:
        """Frames that belong to tracks."""
        return sum(piece.n_frames for piece in self.pieces)


def cut(rows: Sequence[Placed], unit_frames: int, first_index: int = 0, layout: str = "") -> Iterator[Unit]:
    """Cut placed tracks into units; units that hold nothing are left out.

    Parameters
    ----------
    rows : sequence of Placed
        Tracks in the order in which they were placed.
    unit_frames : int
        Frames a unit.
    first_index : int
        The row number of `rows[0]`.
    layout : str
        See `Unit`.

    Yields
    ------
    Unit
        In order of number. Every frame of every track lies in exactly one piece.
    """
    number, pieces = -1, list[Piece]()
    for index, track in enumerate(rows, first_index):
        first = 0
        while first < track.n_frames:
            at = track.frame_start + first
            if at // unit_frames != number:
                if pieces:
                    yield Unit(number, tuple(pieces), layout)
                number, pieces = at // unit_frames, []
            offset = at % unit_frames
            n_frames = min(track.n_frames - first, unit_frames - offset)
            pieces.append(Piece(index, track, first, n_frames, offset))
            first += n_frames
    if pieces:
        yield Unit(number, tuple(pieces), layout)


def end_of(rows: Sequence[Placed]) -> int:
    """One past the last frame that any track takes; 0 where there is none."""
    return max((row.frame_start + row.n_frames for row in rows), default=0)


def from_rows(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[Placed]:
    """Rebuild placed tracks from rows that `Placed.as_row` wrote; columns of a later version are skipped."""
    known = [(name, columns.index(name)) for name in COLUMNS if name in columns]
    return [Placed(**{name: row[at] for name, at in known}) for row in rows]


def table(rows: Sequence[Placed]) -> dict[str, list[Any]]:
    """The same as columns, by name."""
    return {name: [getattr(row, name) for row in rows] for name in COLUMNS}
