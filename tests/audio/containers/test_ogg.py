"""Ogg files that may be sought, that may not, and that do not end as they should."""

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from hpss_batch.audio.containers.ogg_seek import sought_until
from hpss_batch.audio.recording import Recording, probe
from hpss_batch.errors import AudioError


@pytest.fixture(params=["VORBIS", "OPUS"])
def ogg(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    path = tmp_path / "song.ogg"
    rng = np.random.default_rng(0)
    clicks = rng.standard_normal((400_000, 2)) * (rng.random((400_000, 1)) < 0.001)  # short and long blocks
    sf.write(
        path, (0.1 * rng.standard_normal((400_000, 2)) + clicks).clip(-1, 1), 48000, subtype=request.param
    )
    return path


def pages(data: bytes) -> list[int]:
    """Where the pages of a file begin."""
    found, at = list[int](), 0
    while at < len(data):
        assert data[at : at + 4] == b"OggS"
        found.append(at)
        at += 27 + data[at + 26] + sum(data[at + 27 : at + 27 + data[at + 26]])
    return found


def checksum(page: bytes) -> bytes:
    """A page's checksum (RFC 3533, 6), with zeros where it stands."""
    found = 0
    for byte in page:
        found ^= byte << 24
        for _ in range(8):
            found = found << 1 & 0xFFFFFFFF ^ (0x04C11DB7 if found >> 31 else 0)
    return struct.pack("<I", found)


def refused(path: Path, reason: str) -> None:
    """A file is opened and cannot be read to its end, for this reason."""
    with pytest.raises(AudioError, match=reason), Recording(str(path)) as recording:
        recording.read(0, recording.bound)


def test_a_file_as_encoders_leave_it_may_be_sought(ogg: Path) -> None:
    assert 300_000 < sought_until(str(ogg)) < 400_000


def test_positions_that_disagree_with_packets(ogg: Path) -> None:
    """As some editors leave them: from one page on, granule positions are off."""
    data = bytearray(ogg.read_bytes())
    for at in pages(data)[len(pages(data)) // 2 :]:
        struct.pack_into("<q", data, at + 6, struct.unpack_from("<q", data, at + 6)[0] - 1)
    ogg.write_bytes(data)
    assert sought_until(str(ogg)) == 0


def test_pages_that_are_missing_or_too_many(ogg: Path) -> None:
    data = ogg.read_bytes()
    begins = pages(data)
    middle = len(begins) // 2
    for changed in (
        data[: begins[middle]] + data[begins[middle + 1] :],
        data[: begins[middle]] + bytes(100) + data[begins[middle] :],
        data + data,
        data[: begins[-1]],
        data[: begins[1]],
        data[:40],
        b"OggS",
    ):
        ogg.write_bytes(changed)
        assert sought_until(str(ogg)) == 0


def test_anything_else_may_not_be_sought(tmp_path: Path) -> None:
    path = tmp_path / "noise"
    rng = np.random.default_rng(0)
    for _ in range(50):
        path.write_bytes(b"OggS" + rng.bytes(300))
        assert sought_until(str(path)) == 0


@pytest.mark.parametrize("inside", [0, 1_000])
def test_an_ogg_without_its_last_page(ogg: Path, inside: int) -> None:
    data = ogg.read_bytes()
    ogg.write_bytes(data[: pages(data)[-2] + inside])
    with pytest.raises(AudioError, match=r"is cut short: it holds .* mark at the stream's end"):
        probe(str(ogg))


@pytest.mark.parametrize("missing", [1, 100, "body", "lacing"])
def test_an_ogg_cut_inside_its_last_page(ogg: Path, missing: int | str) -> None:
    """The page's header with the end mark is there, but no decoder takes a page without all of its body."""
    data = ogg.read_bytes()
    at = pages(data)[-1]
    kept = {"body": at + 27 + data[at + 26], "lacing": at + 28}.get(str(missing))
    ogg.write_bytes(data[: kept or len(data) - int(missing)])
    with pytest.raises(AudioError, match=r"is cut short: it holds .* s, and its last page is cut off inside"):
        probe(str(ogg))


def test_an_ogg_with_a_damaged_last_page(ogg: Path) -> None:
    """Its checksum is wrong, as where a download left a hole, and decoders pass it over."""
    data = ogg.read_bytes()
    for at, byte in ((len(data) - 1, data[-1] ^ 1), (pages(data)[-1] + 22, data[pages(data)[-1] + 22] ^ 128)):
        ogg.write_bytes(data[:at] + bytes([byte]) + data[at + 1 :])
        with pytest.raises(AudioError, match=r"is damaged: it holds .* s, and its last page's checksum"):
            probe(str(ogg))


def test_one_stream_after_the_other(ogg: Path) -> None:
    data = ogg.read_bytes()
    other = bytearray(data)
    for at in pages(data):
        struct.pack_into("<I", other, at + 14, 0xABCDEF)
    ogg.write_bytes(data + other)
    with pytest.raises(AudioError, match="several streams one after the other"):
        probe(str(ogg))


@pytest.mark.parametrize("second", ["the same", "a shorter one", "a longer one", "one behind tags"])
def test_one_stream_after_the_other_of_one_serial_number(ogg: Path, second: str) -> None:
    """`cat a.ogg a.ogg`: the decoder ends where the first one does, and the second one's length is announced."""
    data = ogg.read_bytes()
    samples, rate = sf.read(ogg)
    n = {"a shorter one": 200_000, "a longer one": 600_000}.get(second, 0)
    other = bytearray(data)
    if n:
        sf.write(ogg, np.resize(samples, (n, 2)), rate, subtype=sf.info(ogg).subtype)
        other = bytearray(ogg.read_bytes())
        for at in pages(bytes(other)):
            other[at + 14 : at + 18] = data[14:18]
            other[at + 22 : at + 26] = bytes(4)
            length = 27 + other[at + 26] + sum(other[at + 27 : at + 27 + other[at + 26]])
            other[at + 22 : at + 26] = checksum(bytes(other[at : at + length]))
    between = b"TAG" + bytes(125) if second == "one behind tags" else b""
    ogg.write_bytes(data + between + other)
    refused(ogg, "several streams one after the other")


def test_one_bit_anywhere(ogg: Path) -> None:
    """A page whose checksum is wrong is dropped by decoders in silence, and everything behind it comes too early."""
    data = ogg.read_bytes()
    begins = pages(data)
    middle = begins[len(begins) // 2]
    for at in (
        middle,
        middle + 4,
        middle + 5,
        middle + 6,
        middle + 18,
        middle + 22,
        middle + 26,
        middle + 28,
        middle + 999,
    ):
        ogg.write_bytes(data[:at] + bytes([data[at] ^ 16]) + data[at + 1 :])
        refused(ogg, r"is damaged at [345]\.\d s: page \d+ of its Ogg stream")


def test_a_page_is_missing_or_zeros(ogg: Path) -> None:
    data = ogg.read_bytes()
    begins = pages(data)
    for number in (len(begins) // 2, len(begins) - 2):
        begin, end = begins[number], begins[number + 1]
        for between in (b"", bytes(end - begin), bytes(100)):
            ogg.write_bytes(data[:begin] + between + data[end:])
            refused(ogg, rf"is damaged at [3-8]\.\d s: page {number} of its")


def test_a_span_before_the_damage_is_read(ogg: Path) -> None:
    """Whole tracks are refused where their end is met."""
    data = ogg.read_bytes()
    with Recording(str(ogg)) as recording:
        expected = recording.read(0, 48_000)
    at = pages(data)[len(pages(data)) // 2] + 50
    ogg.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    with Recording(str(ogg)) as recording:
        np.testing.assert_array_equal(recording.read(0, 48_000), expected)
        with pytest.raises(AudioError, match="is damaged at"):
            recording.read(recording.bound - 1, recording.bound)


def test_what_may_stand_between_pages(ogg: Path) -> None:
    """What no decoder takes for a page, and with which none is lost."""
    expected, _ = sf.read(ogg, dtype="float32")
    data = ogg.read_bytes()
    at = pages(data)[len(pages(data)) // 2]
    for between in (bytes(500), b"OggS" + bytes(40)):
        ogg.write_bytes(data[:at] + between + data[at:])
        with Recording(str(ogg), channels="all") as recording:
            np.testing.assert_array_equal(recording.read(0, recording.bound), expected.T)


def test_far_beyond_full_scale(tmp_path: Path) -> None:
    path = tmp_path / "loud.ogg"
    tone = np.sin(np.arange(96_000) / 50)
    for scale, subtype in ((4, "VORBIS"), (4, "OPUS"), (12, "VORBIS")):
        sf.write(path, scale * tone, 48_000, subtype=subtype)
        with Recording(str(path)) as recording:
            assert abs(recording.read(0, 96_000)).max() > scale / 2
    sf.write(path, 400 * tone, 48_000, subtype="VORBIS")
    with pytest.raises(AudioError, match="holds a sample of"), Recording(str(path)) as recording:
        recording.read(0, 96_000)


@pytest.mark.parametrize(("kind", "head"), [("FLAC", b"\x7fFLAC\x01\0\0\1fLaC"), ("Speex", b"Speex   1.2.0")])
def test_ogg_of_another_kind(tmp_path: Path, kind: str, head: bytes) -> None:
    page = struct.pack("<4sBBqIIIBB", b"OggS", 0, 2, 0, 1, 0, 0, 1, 80) + head.ljust(80, b"\0")
    (tmp_path / "a.oga").write_bytes(page[:22] + checksum(page) + page[26:])
    with pytest.raises(
        AudioError, match=f"is {kind} in Ogg, which is not read here; set corpus.decoder=auto"
    ):
        probe(str(tmp_path / "a.oga"), "libsndfile")


@pytest.mark.parametrize(
    "behind",
    [
        b"TAG" + bytes(125),
        b"APETAGEX" + bytes(500),
        b"OggS",
        b"OggS" * 99,
        bytes(100_000),
        np.random.default_rng(0).bytes(5_000),
    ],
    ids=["ID3v1", "APE", "OggS", "OggSOggS", "zeros", "garbage"],
)
def test_what_may_stand_behind_the_end(ogg: Path, behind: bytes) -> None:
    expected, _ = sf.read(ogg, dtype="float32")
    ogg.write_bytes(ogg.read_bytes() + behind)
    with Recording(str(ogg), channels="all") as recording:
        found = recording.read(0, recording.bound)
        np.testing.assert_array_equal(found, expected.T)


def test_junk_behind_the_end_does_not_matter(ogg: Path) -> None:
    expected = probe(str(ogg))
    with ogg.open("ab") as file:
        file.write(bytes(3_000))
    assert probe(str(ogg)) == expected
