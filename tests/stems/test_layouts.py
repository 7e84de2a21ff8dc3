"""Stems have their tracks' channel layouts, and the right channel for each speaker: FFmpeg hears both."""

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile as sf
from helpers import settings

from hpss_batch.config.job import Job
from hpss_batch.runner.plan import plan
from hpss_batch.runner.render import render
from hpss_batch.runner.run import Result, run
from hpss_batch.store.reading.corpus import open_corpus

RATE = 48_000
TONES = (310, 520, 730, 60, 1150, 1360, 1570, 1780)
"""Hz of each channel, in the order of FFmpeg."""

TRACKS = {
    "51.wav": ("pcm_s16le", "wav", "5.1"),
    "51side.w64": ("pcm_s16le", "w64", "5.1(side)"),
    "51.flac": ("flac", "flac", "5.1"),
    "51.m4a": ("alac", "ipod", "5.1"),
    "71.caf": ("pcm_s16be", "caf", "7.1"),
    "61.wav": ("pcm_f32le", "wav", "6.1"),
    "50.aiff": ("pcm_s16be", "aiff", "5.0(side)"),
}
UNUSUAL = {
    "21.wav": ("pcm_s16le", "wav", "2.1"),
    "21.flac": ("flac", "flac", "2.1"),
    "40.wav": ("pcm_s24le", "wav", "4.0"),
}
"""Layouts that Vorbis and Opus do not have."""


def record(path: Path, codec: str, container: str, layout: str) -> None:
    """Half a second of another tone in each channel, by FFmpeg."""
    time = np.arange(RATE // 2) / RATE
    with av.open(str(path), "w", format=container) as out:
        stream: Any = out.add_stream(codec, rate=RATE, layout=layout)
        wanted = stream.codec_context.format
        tones = [0.3 * np.sin(2 * np.pi * hertz * time) for hertz in TONES[: stream.layout.nb_channels]]
        frame = av.AudioFrame.from_ndarray(np.array(tones).T.reshape(1, -1), "dbl", layout)
        frame.sample_rate = RATE
        resampler = av.AudioResampler(
            wanted, layout, RATE, frame_size=stream.codec_context.frame_size or 4096
        )
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            out.mux(stream.encode(part))
        out.mux(stream.encode(None))


def heard(path: Path) -> dict[str | int, int]:
    """The loudest frequency of each speaker, to 10 Hz; by the channels' numbers where FFmpeg knows no speakers."""
    with av.open(str(path)) as file:
        stream = file.streams.audio[0]
        channels = [channel.name for channel in stream.layout.channels]
        resampler = av.AudioResampler("flt", None, RATE)
        frames = [part for frame in file.decode(stream) for part in resampler.resample(frame)]
    parts = [frame.to_ndarray().reshape(-1, len(channels)) for frame in frames]
    samples = np.concatenate(parts)[9600:14400]
    spectra = np.abs(np.fft.rfft(samples * np.hanning(len(samples))[:, None], axis=0))
    tones = [int(found.argmax()) * 10 for found in spectra.T]
    return dict(zip(range(len(tones)) if "NONE" in channels else channels, tones, strict=True))


def one_pair(speakers: dict[str | int, int]) -> dict[str | int, int]:
    """The same with one pair behind the listener at the back, also where FFmpeg says that it is at the sides."""
    if "BL" in speakers:
        return speakers
    return {{"SL": "BL", "SR": "BR"}.get(str(name), name): tone for name, tone in speakers.items()}


@pytest.fixture(scope="module")
def surround(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tracks of FFmpeg's, and some that libsndfile wrote in the order of the Vorbis specification."""
    folder = tmp_path_factory.mktemp("surround")
    for name, how in (TRACKS | UNUSUAL).items():
        record(folder / name, *how)
    time = np.arange(RATE // 2)[:, None] / RATE
    vorbis = np.array([TONES[place] for place in (0, 2, 1, 4, 5, 3)])
    sf.write(folder / "51.ogg", 0.3 * np.sin(2 * np.pi * vorbis * time), RATE)
    return folder


def stems(corpus: Path, out: Path, **given: Any) -> Result:
    given = {"components": ["harmonic"], "path": "{id}.{component}", **given}
    return run(Job.parse(settings(corpus, out, output__arrays=[], output__stems=given)))


def stem(out: Path, track: str) -> Path:
    return Path(open_corpus(out).stem_files(track)["harmonic"])


@pytest.mark.parametrize(
    ("format_", "subtype"),
    [
        ("wav", None),
        ("wav", "ULAW"),
        ("rf64", None),
        ("w64", "PCM_24"),
        ("flac", None),
        ("aiff", None),
        ("caf", None),
    ],
)
def test_headers_name_the_track_s_speakers(
    format_: str, subtype: str | None, surround: Path, tmp_path: Path
) -> None:
    assert stems(surround, tmp_path, format=format_, subtype=subtype).exit_status == 0
    for track in [*TRACKS, *UNUSUAL, "51.ogg"]:
        assert heard(stem(tmp_path, track)) == heard(surround / track), track


@pytest.mark.parametrize(("format_", "subtype"), [("ogg", "VORBIS"), ("ogg", "OPUS"), ("caf", "ALAC_16")])
def test_formats_with_an_order_of_their_own_get_it_or_refuse(
    format_: str, subtype: str, surround: Path, tmp_path: Path
) -> None:
    refused = [*UNUSUAL, "71.caf"] if subtype == "ALAC_16" else [*UNUSUAL]
    refused = [track for track in refused if (subtype, track) != ("ALAC_16", "40.wav")]
    job = settings(
        surround, tmp_path, output__arrays=[], output__stems={"format": format_, "subtype": subtype}
    )
    planned = plan(Job.parse(job)).stems
    assert planned is not None
    result = stems(surround, tmp_path, format=format_, subtype=subtype)
    assert sorted(result.failed) == sorted(planned.refused) == sorted(refused)
    assert "FL FR LFE" in planned.refused["21.wav"]
    assert "output.stems.channels=mono" in planned.refused["21.wav"]
    for track in {*TRACKS, "51.ogg"} - set(refused):
        assert one_pair(heard(stem(tmp_path, track))) == one_pair(heard(surround / track)), track


def test_what_names_no_speakers_keeps_its_order_and_gets_no_names_where_the_format_allows(
    tmp_path: Path,
) -> None:
    """Where it does not, FFmpeg finds each channel where it found the track's."""
    (tmp_path / "music").mkdir()
    time = np.arange(RATE // 2)[:, None] / RATE
    for n in (3, 6):
        sf.write(tmp_path / "music" / f"{n}.wav", 0.3 * np.sin(2 * np.pi * np.array(TONES[:n]) * time), RATE)
    for format_ in ("wav", "rf64", "w64", "aiff", "caf", "au", "flac", "ogg"):
        assert stems(tmp_path / "music", tmp_path / format_, format=format_).exit_status == 0
        for n in (3, 6):
            expected = heard(tmp_path / "music" / f"{n}.wav")
            found = heard(stem(tmp_path / format_, f"{n}.wav"))
            assert list(found.values()) == list(expected.values())
            assert found == expected or format_ in ("flac", "ogg")


def test_mono_stems_and_stereo_tracks_have_plain_headers(surround: Path, tmp_path: Path) -> None:
    assert stems(surround, tmp_path / "mono", format="wav", channels="mono").exit_status == 0
    assert sf.info(stem(tmp_path / "mono", "51.wav")).format == "WAV"
    (tmp_path / "music").mkdir()
    sf.write(tmp_path / "music" / "a.wav", np.zeros((RATE, 2)), RATE, format="WAVEX")
    assert stems(tmp_path / "music", tmp_path / "out", format="wav").exit_status == 0
    assert sf.info(stem(tmp_path / "out", "a.wav")).format == "WAV"


def test_tags_survive_beside_a_layout(surround: Path, tmp_path: Path) -> None:
    (tmp_path / "music").mkdir()
    with sf.SoundFile(tmp_path / "music" / "a.ogg", "w", RATE, 6, format="OGG") as file:
        file.title = "Ünder"
        file.write(np.zeros((RATE, 6), np.float32))
    for format_ in ("flac", "wav"):
        assert stems(tmp_path / "music", tmp_path / format_, format=format_).exit_status == 0
        with sf.SoundFile(stem(tmp_path / format_, "a.ogg")) as file:
            assert file.title == "Ünder"
        assert set(heard(stem(tmp_path / format_, "a.ogg"))) == {"FL", "FR", "FC", "LFE", "BL", "BR"}


def test_a_store_names_the_speakers_and_stems_from_it_have_them(surround: Path, tmp_path: Path) -> None:
    (tmp_path / "music").mkdir()
    for name in ("51.ogg", "21.wav"):
        (tmp_path / "music" / name).write_bytes((surround / name).read_bytes())
    run(Job.parse(settings(tmp_path / "music", tmp_path / "out", corpus__channels="all")))
    corpus = open_corpus(tmp_path / "out")
    assert corpus["51.ogg"].attrs["source_layout"] == "FL FC FR BL BR LFE"  # the order of its channels
    assert corpus["21.wav"].attrs["source_layout"] == "FL FR LFE"
    expected = heard(tmp_path / "music" / "51.ogg")
    (tmp_path / "music" / "51.ogg").unlink()
    made = render(tmp_path / "out", "51.ogg", ["output.stems.format=wav"])
    assert made["51.ogg"].status == "done"
    assert heard(stem(tmp_path / "out", "51.ogg")) == expected
