"""Which bytes tell a title, an artist and the like at the start of an MP3 file, in any script?

An ID3v2.4 tag: ten bytes, then a frame a text, in UTF-8 (id3.org/id3v2.4.0-structure and -frames). libsndfile would
hand UTF-8 to LAME as if it were Latin-1.
"""

from collections.abc import Mapping

_FRAMES = {
    "title": b"TIT2",
    "artist": b"TPE1",
    "album": b"TALB",
    "tracknumber": b"TRCK",
    "genre": b"TCON",
    "date": b"TDRC",
    "comment": b"COMM",
    "copyright": b"TCOP",
    "license": b"TXXX",
}
_BEFORE = {"comment": b"und\0", "license": b"LICENSE\0"}
"""What these frames have before their text: its language, which is not known, and its name."""

_UTF_8 = b"\x03"


def id3(tags: Mapping[str, str]) -> bytes:
    """An ID3v2.4 tag of texts by libsndfile's names for them."""
    frames = b""
    for name, text in tags.items():
        body = _UTF_8 + _BEFORE.get(name, b"") + text.encode(errors="replace")
        frames += _FRAMES[name] + _size(len(body)) + bytes(2) + body
    return b"ID3\x04\0\0" + _size(len(frames)) + frames


def _size(n: int) -> bytes:
    """A number in sevens of bits, so that no byte of it looks like a frame of MPEG."""
    return bytes(n >> shift & 0x7F for shift in (21, 14, 7, 0))
