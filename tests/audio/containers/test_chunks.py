"""Whatever a header says, all samples of a file are read and nothing else, or it fails with a reason."""

import contextlib
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from hpss_batch.audio.containers.chunks import find_extent
from hpss_batch.audio.recording import Recording, probe
from hpss_batch.errors import AudioError

RATE = 16000
NOISE = np.random.default_rng(0).integers(-9000, 9000, 20_001).astype(np.int16)
LOUD = (9000 * np.cos(np.arange(20_000) / 50)).astype(
    np.int16
)  # begins with the bytes "(#'#", a name to all appearance
SILENT_START = np.concatenate([np.zeros(3_000, np.int16), NOISE])
W64 = bytes.fromhex("f3acd3118cd100c04f8edb8a")
TAG = b"TAG" + bytes(range(125))


def write(path: Path, samples: np.ndarray, container: str, coding: str = "PCM_16") -> bytes:
    sf.write(path, samples, RATE, format=container, subtype=coding)
    return path.read_bytes()


def announce(data: bytes, container: str, n: int) -> bytes:
    """The file whose header announces `n` bytes of samples."""
    changed = bytearray(data)

    def put(mark: bytes, behind: int, code: str, value: int) -> None:
        at = data.index(mark) + behind
        size = struct.calcsize(code)
        changed[at : at + size] = struct.pack(code, value % 256**size)

    match container:
        case "WAV" | "WAVEX":
            put(b"RIFF", 4, "<I", n + 36)
            put(b"data", 4, "<I", n)
        case "RF64":
            put(b"ds64", 8, "<Q", n + 72 if n else 0)
            put(b"ds64", 16, "<Q", n)
            put(b"ds64", 24, "<Q", 0)
        case "W64":
            put(b"data" + W64, 16, "<Q", n + 24)
            put(b"riff", 16, "<Q", 0)
        case "AIFF":
            put(b"COMM", 10, ">I", 0)
            put(b"SSND", 4, ">I", n + 8 if n else 0)
        case "SVX":
            put(b"BODY", 4, ">I", n)
        case "CAF":
            put(b"data", 4, ">Q", n + 4 if n >= 0 else n)
        case "AU":
            put(b".snd", 8, ">I", n)
    return bytes(changed)


def read(path: Path) -> np.ndarray:
    with Recording(str(path)) as recording:
        found = recording.read(0, recording.bound)[0]
        assert len(found) == recording.bound == recording.n_samples
        n = len(found) // 3
        np.testing.assert_array_equal(recording.read(n, 2 * n)[0], found[n : 2 * n])
    return found


CONTAINERS = ["WAV", "WAVEX", "RF64", "W64", "AIFF", "SVX", "CAF", "AU"]


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("samples", [NOISE, LOUD, SILENT_START])
def test_sizes_that_were_never_filled_in(tmp_path: Path, container: str, samples: np.ndarray) -> None:
    """0 of a recorder that died, and -1 or nearly of a writer into a pipe, mean all that follows."""
    path = tmp_path / "a"
    data = write(path, samples, container)
    for n in (0, -1, -4):
        path.write_bytes(announce(data, container, n))
        np.testing.assert_array_equal(read(path), samples / np.float32(2**15))


@pytest.mark.parametrize("container", CONTAINERS)
def test_eight_bits_that_look_like_names(tmp_path: Path, container: str) -> None:
    """In 8-bit audio, four printable bytes stand everywhere."""
    samples = np.random.default_rng(1).integers(0x20, 0x7F, 20_000)
    coding = "PCM_U8" if container in ("WAV", "WAVEX", "RF64", "W64") else "PCM_S8"
    wanted = (samples - 128 if coding == "PCM_U8" else samples) / np.float32(128)
    path = tmp_path / "a"
    data = write(path, (wanted * 2**15).astype(np.int16), container, coding)
    path.write_bytes(announce(data, container, 0))
    np.testing.assert_array_equal(read(path), wanted)
    path.write_bytes(announce(data, container, 10_000))
    with pytest.raises(AudioError, match="wrong header"):
        probe(str(path))


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("part", [0.3, 0.5, 0.6, 0.9, 0.99])
def test_less_is_announced_than_there_is(tmp_path: Path, container: str, part: float) -> None:
    path = tmp_path / "a"
    data = write(path, NOISE, container)
    path.write_bytes(announce(data, container, int(NOISE.size * part) * 2))
    with pytest.raises(
        AudioError, match=rf"wrong header: it announces {1.25 * part:.1f} s .* bytes lie behind"
    ) as caught:
        probe(str(path))
    assert ("FILE FILE.flac" in str(caught.value)) != (container == "CAF")


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("part", [0.0, 0.3, 0.7])
def test_more_is_announced_than_there_is(tmp_path: Path, container: str, part: float) -> None:
    path = tmp_path / "a"
    data = write(path, NOISE, container)
    path.write_bytes(data[: len(data) - int(NOISE.nbytes * (1 - part))])
    with pytest.raises(AudioError, match="cut short"):
        probe(str(path))


def chunk(container: str, name: bytes, n: int) -> bytes:
    content = b"\1" * n
    if container == "W64":
        return name + W64 + struct.pack("<Q", n + 24) + content + bytes(-n % 8)
    if container == "CAF":
        return name + struct.pack(">Q", n) + content
    return name + struct.pack(">I" if container in ("AIFF", "SVX") else "<I", n) + content + bytes(n % 2)


@pytest.mark.parametrize("container", CONTAINERS[:-1])
@pytest.mark.parametrize(
    "tail",
    [
        lambda container: chunk(container, b"LIST", 300),
        lambda container: chunk(container, b"qqqq", 301) + chunk(container, b"what", 20),
        lambda container: chunk(container, b"LIST", 304) + TAG,
        lambda container: chunk(container, b"LIST", 3000)[:-100],
        lambda _: b"ID3\3\0\0\0\0\7\x68" + b"\1" * 1000,
        lambda _: b"APETAGEX" + struct.pack("<5I", 2000, 2016, 1, 0, 0) + bytes(4) + b"\1" * 2016,
        lambda _: bytes(5000),
        lambda _: b"\x1a" * 100,
    ],
    ids=["known", "unknown", "chunk and tag", "cut", "ID3", "APE", "zeros", "padding"],
)
def test_what_may_stand_behind_the_samples(
    tmp_path: Path, container: str, tail: Callable[[str], bytes]
) -> None:
    """None of it is heard, and nothing is said of it."""
    path = tmp_path / "a"
    samples = NOISE[:20_000]
    path.write_bytes(write(path, samples, container) + tail(container))
    np.testing.assert_array_equal(read(path), samples / np.float32(2**15))


@pytest.mark.parametrize("container", ["WAV", "AIFF"])
def test_chunks_behind_samples_of_unknown_length(tmp_path: Path, container: str) -> None:
    path = tmp_path / "a"
    samples = NOISE[:20_000]
    nested = chunk(container, b"LIST", 33)[:8] + chunk(container, b"ISFT", 25)
    data = announce(write(path, samples, container), container, 0)
    for tail in (
        nested,
        chunk(container, b"LIST", 300),
        chunk(container, b"qqqq", 7) + chunk(container, b"rrrr", 8) + TAG,
    ):
        path.write_bytes(data + tail)
        np.testing.assert_array_equal(read(path), samples / np.float32(2**15))


@pytest.mark.parametrize("container", CONTAINERS)
def test_files_joined_and_garbage(tmp_path: Path, container: str) -> None:
    path = tmp_path / "a"
    data = write(path, NOISE[:20_000], container)
    path.write_bytes(data + data)
    with pytest.raises(AudioError, match="holds several files one after the other"):
        probe(str(path))
    for garbage in (np.random.default_rng(0).bytes(9_000), b"printable! " * 900):
        path.write_bytes(data + garbage)
        with pytest.raises(AudioError, match="wrong header"):
            probe(str(path))


def test_bw64(tmp_path: Path) -> None:
    """ITU-R BS.2088: RF64 under another name."""
    path = tmp_path / "a"
    data = write(path, NOISE, "RF64")
    path.write_bytes(b"BW64" + data[4:])
    np.testing.assert_array_equal(read(path), NOISE / np.float32(2**15))
    path.write_bytes(b"BW64" + data[4 : len(data) // 2])
    with pytest.raises(AudioError, match="cut short"):
        probe(str(path))


def test_big_endian_wav(tmp_path: Path) -> None:
    path = tmp_path / "a"
    sf.write(path, NOISE, RATE, format="WAV", subtype="PCM_16", endian="BIG")
    data = path.read_bytes()
    assert data.startswith(b"RIFX")
    at = data.index(b"data") + 4
    path.write_bytes(data[:at] + bytes(4) + data[at + 4 :])
    np.testing.assert_array_equal(read(path), NOISE / np.float32(2**15))


@pytest.mark.parametrize("coding", ["GSM610", "DWVW_16"])
def test_nothing_is_not_read_of_something(tmp_path: Path, coding: str) -> None:
    """Of these codings, the length stands elsewhere in AIFF files than the size."""
    path = tmp_path / "a"
    data = write(path, NOISE, "AIFF", coding)
    path.write_bytes(announce(data, "AIFF", 0))
    with pytest.raises(AudioError, match=r"wrong header: it announces 0\.0 s"):
        probe(str(path))


@pytest.mark.parametrize("width", [1, 2, 3, 4, 6])
def test_aiff_of_sox_into_a_pipe(tmp_path: Path, width: int) -> None:
    """It leaves 0x7f000000, or so many whole frames as that holds."""
    path = tmp_path / "a"
    data = write(path, NOISE, "AIFF")
    path.write_bytes(announce(data, "AIFF", 0x7F000000 // width * width))
    np.testing.assert_array_equal(read(path), NOISE / np.float32(2**15))


@pytest.mark.parametrize("container", ["W64", "CAF"])
def test_headers_that_are_written_twice(tmp_path: Path, container: str) -> None:
    """libsndfile, and with it SoX, does so into a pipe, and once more at the end."""
    path = tmp_path / "a"
    samples = NOISE[:20_000]
    data = announce(write(path, samples, container), container, 0)
    head = data[: -samples.nbytes]
    path.write_bytes(head + data + head)
    np.testing.assert_array_equal(read(path), samples / np.float32(2**15))
    path.write_bytes(head + data)
    np.testing.assert_array_equal(read(path), samples / np.float32(2**15))


def wave(magic: bytes, riff: int, data: int, ds64: int | None = None) -> bytes:
    """The header of a stereo WAV file of 16 bits."""
    form = b"fmt " + struct.pack("<IHHIIHH", 16, 1, 2, RATE, 4 * RATE, 4, 16)
    sizes = b"" if ds64 is None else b"ds64" + struct.pack("<IQQQI", 28, ds64, ds64, ds64, 0)
    return magic + struct.pack("<I", riff) + b"WAVE" + sizes + form + b"data" + struct.pack("<I", data)


BEYOND = 5 * 2**30


@pytest.mark.parametrize(
    "head",
    [
        wave(b"RIFF", (BEYOND + 36) % 2**32, BEYOND % 2**32),
        wave(b"RIFF", 0, 0),
        wave(b"RIFF", 2**32 - 1, 2**32 - 1),
        wave(b"BW64", 2**32 - 1, 2**32 - 1, BEYOND),
        wave(b"RF64", 2**32 - 1, 2**32 - 1, BEYOND),
        wave(b"RF64", 2**32 - 1, 2**32 - 1, 0),
        b".snd" + struct.pack(">5I", 24, BEYOND % 2**32, 3, RATE, 2),
    ],
    ids=["turned over", "0", "-1", "BW64", "RF64", "empty ds64", "AU"],
)
def test_beyond_four_gib(tmp_path: Path, head: bytes) -> None:
    """The file is sparse and takes no space."""
    path = tmp_path / "a"
    end = np.full(1000, 0x1111, np.int16)
    with path.open("wb") as file:
        file.write(head + b"\x22" * 100)
        file.seek(len(head) + BEYOND - end.nbytes)
        file.write(end.tobytes())
    with Recording(str(path)) as recording:
        assert recording.bound == BEYOND // 4
        np.testing.assert_array_equal(
            recording.read(BEYOND // 4 - 500, BEYOND // 4)[0], end[:500] / np.float32(2**15)
        )


def test_large_sizes_are_believed(tmp_path: Path) -> None:
    """6 GiB that an RF64 file announces are no placeholder: where most are missing, it is cut short."""
    path = tmp_path / "a"
    path.write_bytes(wave(b"RF64", 2**32 - 1, 2**32 - 1, 6 * 2**30) + NOISE.tobytes())
    with pytest.raises(AudioError, match="cut short"):
        probe(str(path))


def test_other_files_have_no_extent(tmp_path: Path) -> None:
    path = tmp_path / "a"
    for data in (
        b"",
        b"x",
        b"RIFF",
        b"RIFF\0\0\0\0WAVE",
        b"caff",
        b"OggS" * 9,
        b"fLaC" * 9,
        bytes(99),
        b"ID3" + bytes(99),
    ):
        path.write_bytes(data)
        assert find_extent(str(path)) is None
    written = write(path, NOISE, "WAV")
    found = find_extent(str(path))
    assert found
    assert (found.begin, found.end, found.announced, found.unexplained, found.changes) == (
        44,
        len(written),
        40_002,
        0,
        (),
    )


def test_a_tag_before_all(tmp_path: Path) -> None:
    path = tmp_path / "a"
    data = write(path, NOISE, "WAV")
    tag = b"ID3\3\0\0\0\0\7\x68" + bytes(1000)
    for whole in (data, announce(data, "WAV", 0), announce(data, "WAV", -1)):
        path.write_bytes(tag + whole)
        np.testing.assert_array_equal(read(path), NOISE / np.float32(2**15))


def test_damaged_headers_are_errors(tmp_path: Path) -> None:
    """Whatever a few bytes of the header become, reading ends, and with nothing worse than a reason."""
    generator = np.random.default_rng(0)
    path = tmp_path / "a"
    files = [
        write(path, NOISE[:2000], container)
        for container in (*CONTAINERS, "VOC", "AVR", "MAT5", "SDS", "MPC2K")
    ]
    for data in files * 20:
        changed = bytearray(data)
        at = int(generator.integers(4, 300))
        changed[at : at + 4] = generator.choice(
            [b"\xff" * 4, bytes(4), b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f"]
        )
        path.write_bytes(changed[: generator.choice([at + 4, len(changed)])])
        with contextlib.suppress(AudioError), Recording(str(path)) as recording:
            recording.read(0, min(recording.bound, 10_000))
