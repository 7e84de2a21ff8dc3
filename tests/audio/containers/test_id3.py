"""The tag at the start of an MP3 file, taken apart by its standard's rules (id3.org/id3v2.4.0-structure)."""

from hpss_batch.audio.containers.id3 import id3


def parsed(tag: bytes) -> dict[str, bytes]:
    def size(four: bytes) -> int:
        assert max(four) < 128
        return four[0] << 21 | four[1] << 14 | four[2] << 7 | four[3]

    assert tag[:6] == b"ID3\x04\0\0"
    assert size(tag[6:10]) == len(tag) - 10
    found, at = dict[str, bytes](), 10
    while at < len(tag):
        end = at + 10 + size(tag[at + 4 : at + 8])
        assert tag[at + 8 : at + 11] == b"\0\0\x03"  # no flags; UTF-8
        found[tag[at : at + 4].decode()] = tag[at + 11 : end]
        at = end
    return found


def test_frames_of_a_tag() -> None:
    long = "ö" * 5_000
    found = parsed(id3({"title": "日本", "album": long, "comment": "x", "license": "CC0"}))
    assert found == {
        "TIT2": "日本".encode(),
        "TALB": long.encode(),
        "COMM": b"und\0x",
        "TXXX": b"LICENSE\0CC0",
    }


def test_no_tags() -> None:
    assert parsed(id3({})) == {}
