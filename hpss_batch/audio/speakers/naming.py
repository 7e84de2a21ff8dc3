"""What does a file's header say of its speakers, and how is it made to say it?

    read_layout     the layout of a recording, by the header that its format has for it
    relabelled      the changes to a finished file with which its header names the speakers of a mask

libsndfile writes a mask of its own choice into RF64, and none into W64, AIFF, CAF and FLAC.

Sources: Microsoft's WAVEFORMATEXTENSIBLE, Apple's CoreAudioTypes (tags of CAF and AIFF), RFC 9639, 8.6.2 (FLAC). Where
Apple says "surround", FFmpeg says "side", and so do we.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from hpss_batch.audio.containers.chunks import EXTENSIBLE, Chunk, find_chunk, tag_size
from hpss_batch.audio.speakers.layouts import SPEAKERS, USUAL, Layout, fixed, from_mask, known
from hpss_batch.files import opened

_GUID = bytes.fromhex("000000001000800000aa00389b71")
_FLAC_MASK = b"WAVEFORMATEXTENSIBLE_CHANNEL_MASK="
_COMMENTS = 4

_BITMAP = 1 << 16
_TAGS = {
    108: "FL FR BL BR",
    113: "FL FR FC",
    114: "FC FL FR",
    115: "FL FR FC BC",
    116: "FC FL FR BC",
    117: "FL FR FC SL SR",
    118: "FL FR SL SR FC",
    119: "FL FC FR SL SR",
    120: "FC FL FR SL SR",
    121: "FL FR FC LFE SL SR",
    122: "FL FR SL SR FC LFE",
    123: "FL FC FR SL SR LFE",
    124: "FC FL FR SL SR LFE",
    125: "FL FR FC LFE SL SR BC",
    126: "FL FR FC LFE SL SR FLC FRC",
    127: "FC FLC FRC FL FR SL SR LFE",
    128: "FL FR FC LFE SL SR BL BR",
    129: "FL FR SL SR FC LFE FLC FRC",
    131: "FL FR BC",
    132: "FL FR SL SR",
    133: "FL FR LFE",
    134: "FL FR LFE BC",
    135: "FL FR LFE SL SR",
    136: "FL FR FC LFE",
    137: "FL FR FC LFE BC",
    138: "FL FR SL SR LFE",
    139: "FL FR SL SR FC BC",
    140: "FL FR SL SR FC BL BR",
    141: "FC FL FR SL SR BC",
    142: "FC FL FR SL SR BC LFE",
    143: "FC FL FR SL SR BL BR",
    144: "FC FL FR SL SR BL BR BC",
}
"""Apple's channel layout tags, whose lower 16 bits are the number of channels."""


@dataclass(frozen=True, slots=True)
class Change:
    """Bytes of a file that others take the place of.

    Attributes
    ----------
    at, length : int
        Where; how many bytes go.
    data : bytes
        What comes.
    """

    at: int
    length: int
    data: bytes


def read_layout(path: str, format: str, subtype: str, channels: int) -> Layout:
    """The layout of a recording that libsndfile reads; empty where the file has none, or two channels at most.

    Parameters
    ----------
    path : str
        The recording.
    format, subtype, channels
        As libsndfile has them.
    """
    if channels <= 2:
        return ()
    layouts = fixed(format, subtype)
    if layouts is not None:
        return layouts.get(channels, ())
    if format == "FLAC":
        return _flac_layout(path, channels)
    if format in ("AIFF", "CAF"):
        found = find_chunk(path, b"CHAN", b"chan")
        return _apple_layout(found.data, channels) if found else ()
    found = find_chunk(path, b"fmt ")
    if (
        found is None
        or len(found.data) < 24
        or struct.unpack_from(f"{found.order}H", found.data)[0] != EXTENSIBLE
    ):
        return ()
    return from_mask(struct.unpack_from(f"{found.order}I", found.data, 20)[0], channels)


def _apple_layout(data: bytes, channels: int) -> Layout:
    """The layout of an AudioChannelLayout: a tag, a bitmap, or descriptions."""
    tag, bitmap, n = struct.unpack(">III", data[:12].ljust(12, b"\0"))
    if tag == _BITMAP:
        return from_mask(bitmap, channels)
    if tag:
        return known(tuple(_TAGS.get(tag >> 16, "").split()), channels)
    labels = [struct.unpack_from(">I", data, at)[0] for at in range(12, len(data) - 3, 20)][:n]
    names = tuple(SPEAKERS[label - 1] if 0 < label <= len(SPEAKERS) else "NONE" for label in labels)
    return known(names, channels)


def _flac_layout(path: str, channels: int) -> Layout:
    """What the comment on the mask says; without it, the order of channels says it."""
    for comment in _comments(_flac_comments(path)[1]):
        if comment.upper().startswith(_FLAC_MASK):
            try:
                return from_mask(int(comment[len(_FLAC_MASK) :], 16), channels)
            except ValueError:
                return ()
    return USUAL.get(channels, ())


def _flac_comments(path: str) -> tuple[int, bytes]:
    """Where the block of comments begins, and its content, which is empty where there is none."""
    with opened(path) as file:
        at, last = tag_size(file.read(0, 16)) + 4, 0
        while not last and len(head := file.read(at, 4)) == 4:
            kind, last, length = head[0] & 127, head[0] & 128, int.from_bytes(head[1:])
            if kind == _COMMENTS:
                return at, file.read(at + 4, length)
            at += 4 + length
    return at, b""


def _comments(block: bytes) -> Iterator[bytes]:
    """The comments of a block: lengths and texts, behind a text on who wrote it and their count."""
    at = 8 + int.from_bytes(block[:4], "little")
    while at + 4 <= len(block):
        end = at + 4 + int.from_bytes(block[at : at + 4], "little")
        yield block[at + 4 : end]
        at = end


def relabelled(path: str, format: str, mask: int) -> list[Change]:
    """What makes the header of a finished stem of more than two channels name the speakers of a mask.

    Parameters
    ----------
    path : str
        A file that libsndfile wrote.
    format : str
        As libsndfile names it: "WAVEX" for WAV, of which a file without a mask is written as plain "WAV".
    mask : int
        Which speakers, in the order of bits; 0 for none.

    Returns
    -------
    list of Change
        In the order of the file.
    """
    if format in ("WAVEX", "RF64"):
        return [Change(_written(path, b"fmt ").at + 20, 4, struct.pack("<I", mask))]
    if not mask:
        return []
    chan = struct.pack(">III", _BITMAP, mask, 0)
    if format == "CAF":
        return [_caf_change(path, b"chan" + struct.pack(">Q", len(chan)) + chan)]
    if format == "AIFF":
        return _aiff_changes(path, b"CHAN" + struct.pack(">I", len(chan)) + chan)
    if format == "W64":
        return _w64_changes(path, mask)
    return [_flac_change(path, mask)] if format == "FLAC" else []


def _written(path: str, name: bytes) -> Chunk:
    """A chunk that libsndfile writes into every file."""
    found = find_chunk(path, name)
    assert found is not None, f"there is no chunk {name!r}"
    return found


def _caf_change(path: str, chan: bytes) -> Change:
    """The chunk takes the place of padding, if there is enough, so that nothing moves."""
    behind = (description := _written(path, b"desc")).at + len(description.data)
    free = find_chunk(path, b"free")
    if free is None or free.at != behind + 12 or len(free.data) < len(chan):
        return Change(behind, 0, chan)
    return Change(behind, len(chan) + 12, chan + b"free" + struct.pack(">Q", len(free.data) - len(chan)))


def _aiff_changes(path: str, chan: bytes) -> list[Change]:
    with opened(path) as file:
        size = int.from_bytes(file.read(4, 4)) + len(chan)
    return [Change(4, 4, size.to_bytes(4)), Change(12, 0, chan)]


def _w64_changes(path: str, mask: int) -> list[Change]:
    """The format becomes an extensible one, with the mask, but of floats, which libsndfile would not read then."""
    plain = _written(path, b"fmt ")
    if plain.data[:2] != b"\x01\0":
        return []
    tag, others, bits = plain.data[:2], plain.data[2:16], plain.data[14:16]
    content = struct.pack("<H", EXTENSIBLE) + others + struct.pack("<H", 22) + bits
    content += struct.pack("<I", mask) + tag + _GUID
    with opened(path) as file:
        size = int.from_bytes(file.read(16, 8), "little") + len(content) - len(plain.data)
    return [
        Change(16, 8, struct.pack("<Q", size)),
        Change(plain.at - 8, 8 + len(plain.data), struct.pack("<Q", 24 + len(content)) + content),
    ]


def _flac_change(path: str, mask: int) -> Change:
    at, block = _flac_comments(path)
    assert block, "libsndfile writes a block of comments into every file"
    comment = _FLAC_MASK + f"0x{mask:04X}".encode()
    count = 4 + int.from_bytes(block[:4], "little")  # where it is
    more = struct.pack("<I", int.from_bytes(block[count : count + 4], "little") + 1)
    longer = block[:count] + more + block[count + 4 :] + struct.pack("<I", len(comment)) + comment
    return Change(at + 1, 3 + len(block), len(longer).to_bytes(3) + longer)
