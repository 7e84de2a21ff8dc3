"""Where do the samples of a file lie, by the file's own structure?

libsndfile reads as many samples as a header announces, and of what lies behind them it says nothing. So the chunks of a
file (id and size, then as many bytes) are walked here, up to the samples and from their end to the file's:

    header   chunks   samples                      chunks, tags, zeros
    |--------|---|---|----------------------------|-------|----|------|
                     begin                        end                 size of the file

What follows the end must be chunks, tags or padding; anything else is `unexplained`. Two kinds of wrong size are
understood. A writer into a pipe cannot go back to fill in a size, and a recorder that dies does not: they leave 0 or
nearly the largest number, and samples go on to the file's end, or to the chunks there. And sizes of 32 bits turn over
at 4 GiB.

Four printable bytes are no chunk: in 8-bit audio a third of all positions look so. A chunk counts if its name is known,
or if those behind it end exactly where the file ends, which chance does once in 2**32.

Where libsndfile would not read from `begin` to `end`, `changes` to the header make it: sizes of 0 or -1 that mean "to
the end", BW64's magic (ITU-R BS.2088), which it does not know, and the floats of W64 files as FFmpeg writes them, which
it takes for whole numbers. See `Corrected`.

Sources: EBU Tech 3285 and 3306 (WAV, RF64), AIFF 1.3, Apple's CAF specification, libsndfile for the rarer kinds.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from hpss_batch.audio.containers.extent import Changes, Extent
from hpss_batch.audio.containers.fixed import Read, find_fixed
from hpss_batch.audio.containers.reasons import joined
from hpss_batch.errors import AudioError
from hpss_batch.files import opened, stat

_MOST_CHUNKS = 4096
_LONGEST_TAIL = 2**20
_MOST_CONTENT = 2**16
EXTENSIBLE = 0xFFFE
"""The format of a WAV file whose header says more of it further on."""

_BLOCK = 2**20
_W64 = bytes.fromhex("f3acd3118cd100c04f8edb8a")
_W64_LIST = bytes.fromhex("2f91cf11a5d628db04c10000")
_SAMPLES = (b"data", b"SSND", b"BODY")
_NAMES = (
    b"LIST fact cue  plst smpl inst bext iXML id3  ID3  afsp PEAK DISP JUNK junk FLLR PAD  minf elm1 regn umid acid "
    b"strc cart chna axml aXML bxml dbmd _PMX levl SyLp Cr8r ResU LGWV clm  ANNO NAME AUTH (c)  COMT MARK INST APPL "
    b"MIDI AESD CHAN FVER COMM basc trns cate free info pakt kuki strg mark midi edct ovvw uuid "
)
_KNOWN = frozenset(_NAMES[at : at + 4] for at in range(0, len(_NAMES), 5))


@dataclass(frozen=True, slots=True)
class _Kind:
    """How chunks are written: sizes' `struct` code, bytes of an id, what sizes count of the head, and alignment."""

    size: str
    id: int = 4
    counted: int = 0
    align: int = 2
    first: int = 12


_KINDS = {
    b"RIFF": _Kind("<I"),
    b"RF64": _Kind("<I"),
    b"BW64": _Kind("<I"),
    b"RIFX": _Kind(">I"),
    b"FORM": _Kind(">I"),
    b"riff": _Kind("<Q", id=16, counted=24, align=8, first=40),
    b"caff": _Kind(">Q", align=1, first=8),
}


def find_extent(path: str) -> Extent | None:
    """Find the samples of a file; None where its kind announces no size here, or no samples are found."""
    found = stat(path)
    return _find(path, found.st_size, found.st_mtime_ns)


@dataclass(frozen=True, slots=True)
class Chunk:
    """Where a chunk's content begins, what it is, as far as it matters, and `struct`'s sign for the order of bytes."""

    at: int
    data: bytes
    order: str


def find_chunk(path: str, *names: bytes) -> Chunk | None:
    """Find the first chunk that has one of these names; None where there is none, or the file is not in chunks."""
    with opened(path) as file:
        container = _Container(file.read, file.size, tag_size(file.read(0, 16)))
        if container.magic not in _KINDS:
            return None
        for name, at, n in container.chunks(container.kind.first):
            if name[:4] in names:
                data = container.read(at, min(max(n, 0), _MOST_CONTENT))
                return Chunk(at + container.skipped, data, container.kind.size[0])
        return None


@lru_cache(maxsize=256)
def _find(path: str, size: int, mtime_ns: int) -> Extent | None:
    with opened(path) as file:
        return _Container(file.read, size, tag_size(file.read(0, 16))).extent()


class _Container:
    """An open file of `size` bytes, of which some are skipped and few are read."""

    def __init__(self, read: Read, size: int, skipped: int) -> None:
        self.read_file, self.size, self.skipped = read, size - skipped, skipped
        self.magic = self.read(0, 4)
        self.kind = _KINDS.get(self.magic, _KINDS[b"RIFF"])

    def read(self, at: int, n: int) -> bytes:
        n = min(n, self.size - at)
        return self.read_file(at + self.skipped, n) if at >= 0 and n > 0 else b""

    def number(self, code: str, at: int) -> int:
        n = struct.calcsize(code)
        return int(struct.unpack(code, self.read(at, n).ljust(n, b"\0"))[0])

    def extent(self) -> Extent | None:
        found: Extent | None
        if self.magic in (b".snd", b"dns."):
            found = self._sun()
        elif self.magic in _KINDS:
            found = self._in_chunks()
        else:
            found = None if self.skipped else find_fixed(self.read, self.size)
        return found and replace(found, skipped=found.skipped or self.skipped)

    def chunks(self, at: int) -> Iterator[tuple[bytes, int, int]]:
        """Names, where contents begin, and their sizes, as long as there are chunks."""
        kind = self.kind
        width = struct.calcsize(kind.size)
        for _ in range(_MOST_CHUNKS):
            name = self.read(at, kind.id)
            n = self.number(kind.size, at + kind.id) - kind.counted
            if at + kind.id + width > self.size:
                return
            at += kind.id + width
            yield name, at, n
            at = self.behind(at, max(n, 0))

    def behind(self, at: int, n: int) -> int:
        """Where a chunk's padding ends, whose content of `n` bytes begins at `at`."""
        at += n
        return at + (-at % 8 if self.kind.align == 8 else n % self.kind.align)

    def _in_chunks(self) -> Extent | None:
        wide, changes = None, Changes()
        for name, at, n in self.chunks(self.kind.first):
            if name == b"ds64":  # where the sizes of RF64 are
                wide = self.number("<Q", at + 8)
            elif name == b"fmt " + _W64:
                changes = self._plain_format(at)
            elif _holds_samples(name):
                found = self._samples(name, at, n, wide)
                return found and replace(found, changes=changes + found.changes)
        return None

    def _plain_format(self, at: int) -> Changes:
        """What makes libsndfile read W64's extensible formats other than whole numbers, which it takes for these."""
        tag = self.read(at + 24, 2)
        return ((at, tag),) if self.number("<H", at) == EXTENSIBLE and tag != b"\x01\0" else ()

    def _samples(self, name: bytes, at: int, n: int, wide: int | None) -> Extent | None:
        """The extent of the chunk of samples, whose content begins at `at`."""
        begin = at + {b"SSND": 8 + self.number(">I", at)}.get(name, 4 if self.magic == b"caff" else 0)
        is_wide = self.magic in (b"RF64", b"BW64") and n in (0, 0xFFFFFFFF) and wide is not None
        announced = (wide or 0 if is_wide else n) - (begin - at)
        head = self.read(0, 16)
        if announced <= 0 and self.read(begin, 16) == head:
            # libsndfile, and with it SoX, writes its header twice into a pipe, and once more at the end
            size = self.size - begin * (self.read(self.size - begin, 16) == head)
            return _Container(self.read_file, self.skipped + size, self.skipped + begin).extent()
        found = self._settle(begin, announced, 64 if is_wide or self.kind.size[1] == "Q" else 32)
        if self.magic in (b"RF64", b"BW64"):
            plain = self.magic == b"RF64" and wide == announced
        else:  # of W64 and IFF files, libsndfile reads the chunks behind the samples, too
            plain = (name != b"BODY" and self.kind.align < 8) or self.behind(begin, announced) >= self.size
        if plain and found.end - found.begin == announced:
            return found
        return replace(found, changes=self._changes(name, at, found.end))

    def _changes(self, name: bytes, at: int, end: int) -> Changes:
        """What makes libsndfile read the chunk whose content begins at `at` up to `end`."""
        where = at - struct.calcsize(self.kind.size)
        if self.magic == b"FORM":
            # 0 is less than the eight bytes before the samples in AIFF, and so up to the end
            return ((where, bytes(4) if name == b"SSND" else b"\x7f" + bytes(3)),)
        if self.kind.size[1] == "Q":
            return ((where, struct.pack(self.kind.size, end - at + self.kind.counted)),)
        # of the sizes that dying recorders leave in WAV files, this one has libsndfile read up to the end
        magic = b"RIFX" if self.magic == b"RIFX" else b"RIFF"
        return ((0, magic + struct.pack(self.kind.size, 8)), (where, bytes(4)))

    def _settle(self, begin: int, announced: int, bits: int) -> Extent:
        """What a size means, which may be too large, too small, or none."""
        begin = min(begin, self.size)
        held, unexplained = self.size - begin, 0
        if 0 < announced <= held:
            turned = announced + ((held - announced) >> 32 << 32) if bits == 32 else announced
            if turned == announced or self.unexplained(begin, turned):
                unexplained = self.unexplained(begin, announced)
            else:
                announced = turned
        elif announced > 0 and not _is_placeholder(announced, bits):
            return Extent(begin, self.size, announced)
        if announced <= 0 or (_is_placeholder(announced, bits) and (announced > held or unexplained)):
            end = self._last_end(begin) if self.unexplained(begin, 0, zeros=False) else begin
            return Extent(begin, end, end - begin)
        return Extent(begin, begin + announced, announced, unexplained)

    def unexplained(self, begin: int, n: int, *, zeros: bool = True) -> int:
        """Bytes behind the `n` from `begin` on that are neither chunk nor tag nor, if these count, zeros."""
        starts = {begin + n, min(self.behind(begin, n), self.size)}  # some writers do not pad
        return min(self.size - self._explained(start, zeros) for start in starts)

    def _explained(self, at: int, zeros: bool) -> int:
        """Where what begins at `at` and is known for something ends."""
        sure = at
        for _ in range(_MOST_CHUNKS):
            if at >= self.size or (zeros and self._is_zero(at)):
                return self.size
            tag = self._tag(at)
            name, head, n = next(self.chunks(at), (b"", at, 0))
            if tag:
                sure = at = at + tag
            elif name[:4] == self.magic:
                raise AudioError(joined("files"))
            elif _holds_samples(name):
                break
            elif name in _KNOWN or name[4:] in (_W64, _W64_LIST):
                sure = at = min(self.behind(head, n), self.size)
            elif (self.kind.id > 4 or _is_name(name)) and 0 <= n <= self.size - head:
                at = self.behind(head, n)
            else:
                break
        return sure

    def _tag(self, at: int) -> int:
        """Bytes of the tag at `at`, 0 for none."""
        head = self.read(at, 16)
        return 128 if head.startswith(b"TAG") and self.size - at == 128 else tag_size(head)

    def _is_zero(self, at: int) -> bool:
        blocks = (self.read(start, _BLOCK) for start in range(at, self.size, _BLOCK))
        return not any(self.read(at, 64)) and all(not block.strip(b"\0") for block in blocks)

    def _last_end(self, begin: int) -> int:
        """Where samples of unknown length end: at the file's end, or before chunks and a tag that lead up to it."""
        end = self.size - 128 if self.size - begin > 128 and self._tag(self.size - 128) == 128 else self.size
        from_ = max(begin, end - _LONGEST_TAIL)
        data = np.frombuffer(self.read(from_, end - from_), np.uint8)
        if self.kind.size[1] == "Q" or len(data) < 16:
            return end
        views = np.lib.stride_tricks.sliding_window_view(data, 4)
        sizes = views[4:].copy().view(self.kind.size[0] + "u4")[:, 0].astype(np.int64)
        room = len(data) - 8 - np.arange(len(sizes))  # behind each position's head, up to the end
        cut = 0
        while True:
            fits = np.flatnonzero((sizes == room - cut) | (sizes + sizes % 2 == room - cut))
            names = [int(at) for at in fits if _is_name(data[at : at + 4].tobytes())]
            if not names:
                return end - cut
            cut = len(data) - names[0]  # a list of chunks ends where its last one does

    def _sun(self) -> Extent:
        """The extent in an AU file, whose header of four-byte fields has one for the size, -1 if it is not known."""
        code = ">I" if self.magic == b".snd" else "<I"
        begin, announced = self.number(code, 4), self.number(code, 8)
        found = self._settle(begin, announced, 32)
        as_said = found.end - begin == announced or (announced == 0xFFFFFFFF and found.end == self.size)
        return found if as_said else replace(found, changes=((8, b"\xff" * 4),))


def _holds_samples(name: bytes) -> bool:
    return name[:4] in _SAMPLES and name[4:] in (b"", _W64)


def _is_name(name: bytes) -> bool:
    return len(name) == 4 and all(0x20 <= byte < 0x7F for byte in name)


def _is_placeholder(size: int, bits: int) -> bool:
    """Whether a size is what writers into a pipe put, who cannot come back to fill in the true one."""
    if bits == 32:
        return 0x7EFFF000 <= size <= 0x7F000008 or 0x7FFFEF00 <= size <= 0x80000000 or size >= 0xFFFFEF00
    return bits == 64 and (size >= 2**62 or size == 0xFFFFFFFF)


def tag_size(head: bytes) -> int:
    """Bytes of the ID3 or APE tag that begins with these 16; 0 for none."""
    if head.startswith(b"ID3") and len(head) == 16:
        return 10 + sum((byte & 127) << 7 * (3 - place) for place, byte in enumerate(head[6:10]))
    return 32 + int.from_bytes(head[12:16], "little") if head.startswith(b"APETAGEX") else 0
