"""How fast is audio → two FLAC stems, beside the loop that one writes oneself, and beside decoding and encoding alone?

    python workflows/benchmarks/stems.py                  # makes an hour of Ogg
    python workflows/benchmarks/stems.py music/           # or takes yours

Measured one after the other, in one run, on all cores, each as a program of its own:

loop   joblib over files: soundfile.read, librosa.effects.hpss, soundfile.write. On excerpts of half a minute of each
       track, scaled to the whole; the second pass, so that imports and compilation are not counted against it.
ours   `hpss-batch run --stems`, start-up included.
floor  As many processes as there are cores that decode the same files in blocks with soundfile and encode our stems
       again, block by block: the same samples, nothing computed.

CPU time is user + system of a program and all of its children. Then, on excerpts: how far our stems (as float WAV)
are from librosa's, and how far the FLAC stems are from adding up to the decoded input.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
from made_music import make
from pipeline import Measured, measure

BLOCK = 65_536
COMPONENTS = ("harmonic", "percussive")


def part(name: str, arguments: dict) -> list[str]:
    """The command that runs a part of this file as a program of its own."""
    return [sys.executable, __file__, "--part", name, json.dumps(arguments, default=str)]


def audio_files(folder: Path) -> list[Path]:
    extensions = {f".{name.lower()}" for name in soundfile.available_formats()}
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in extensions)


def seconds_of(paths: list[Path]) -> float:
    return sum(info.frames / info.samplerate for info in map(soundfile.info, map(str, paths)))


def decoded(path: Path | str) -> Iterator[np.ndarray]:
    """A file in blocks; `soundfile.blocks` would fill up the last one where a header announces too much."""
    with soundfile.SoundFile(path) as file:
        while len(block := file.read(BLOCK, dtype="float32", always_2d=True)):
            yield block


# Ours


def ours(audio: Path, out: Path, processes: int, *settings: str) -> Measured:
    command = [
        str(Path(sys.executable).with_name("hpss-batch")),
        "run",
        str(audio),
        "-o",
        str(out),
        "--stems",
    ]
    for setting in (f"cluster.kwargs.n_workers={processes}", *settings):
        command += ["--set", setting]
    return measure(command)[0]


def silence(folder: Path) -> Path:
    """A tenth of a second for nobody to hear: what is left of a run is starting up."""
    folder.mkdir()
    soundfile.write(folder / "silence.wav", np.zeros(4410), 44_100)
    return folder


def stem_of(out: Path, audio: Path, track: Path, component: str, extension: str) -> Path:
    return out / "stems" / track.relative_to(audio).with_suffix(f".{component}.{extension}")


# The loop that one writes oneself


def separate_one(source: str, target: str) -> None:
    import librosa

    samples, rate = soundfile.read(source, dtype="float32", always_2d=True)
    for component, found in zip(COMPONENTS, librosa.effects.hpss(samples.T.copy()), strict=True):
        soundfile.write(f"{target}.{component}.flac", found.T, rate)


def run_loop(sources: list[str], folder: str, processes: int) -> None:
    from joblib import Parallel, delayed

    with Parallel(n_jobs=processes) as pool:
        jobs = [delayed(separate_one)(s, f"{folder}/{n}") for n, s in enumerate(sources)]
        pool(jobs[:processes])  # imports and compilation
        started = time.perf_counter()
        pool(jobs)
        print(time.perf_counter() - started)


def loop(audio: Path, folder: Path, processes: int, excerpt: float) -> tuple[float, float]:
    """Seconds that the loop takes for each second of audio, and the seconds of excerpts that it was measured on."""
    folder.mkdir()
    sources = []
    for number, path in enumerate(audio_files(audio)):
        with soundfile.SoundFile(path) as file:
            samples = file.read(int(excerpt * file.samplerate), dtype="float32")
            soundfile.write(folder / f"{number}.wav", samples, file.samplerate, subtype="FLOAT")
            sources.append(folder / f"{number}.wav")
    arguments = {"sources": sources, "folder": folder, "processes": processes}
    printed = measure(part("loop", arguments))[1][0]
    seconds = seconds_of(sources)
    return float(printed.split()[-1]) / seconds, seconds


# Decoding and encoding alone


def run_encode(tracks: list[list[str]], folder: str) -> None:
    """Encode the samples of stems again; reading them is not counted."""
    spent, target = 0.0, f"{folder}/{os.getpid()}.flac"
    for stem in (stem for _, *stems in tracks for stem in stems):
        samples, rate = soundfile.read(stem, dtype="int16", always_2d=True)
        started = sum(os.times()[:2])
        with soundfile.SoundFile(target, "w", rate, samples.shape[1]) as file:
            for first in range(0, len(samples), BLOCK):
                file.write(samples[first : first + BLOCK])
        spent += sum(os.times()[:2]) - started
    print(spent)


def run_decode(sources: list[str]) -> None:
    started = sum(os.times()[:2])
    for source in sources:
        for _ in decoded(source):
            pass
    print(sum(os.times()[:2]) - started)


def floor(audio: Path, out: Path, folder: Path, processes: int) -> float:
    """CPU seconds of decoding every track and encoding its stems."""
    folder.mkdir()
    files = audio_files(audio)
    tracks = [[str(f), *(str(stem_of(out, audio, f, c, "flac")) for c in COMPONENTS)] for f in files]
    shares = [tracks[n::processes] for n in range(processes)]
    encoded = measure(*(part("encode", {"tracks": share, "folder": folder}) for share in shares))[1]
    decoded = measure(*(part("decode", {"sources": [track[0] for track in share]}) for share in shares))[1]
    return sum(map(float, encoded + decoded))


# How right


def decibels(value: float) -> float:
    return 20 * float(np.log10(max(value, 1e-20)))


def errors(audio: Path, out: Path, float_out: Path, excerpts: Path) -> tuple[float, float]:
    """Largest distance of our stems from librosa's on excerpts, and of the FLAC stems from adding up, in dB."""
    import librosa

    from_librosa = 0.0
    for path in audio_files(excerpts)[:4]:
        samples, _ = soundfile.read(path, dtype="float32", always_2d=True)
        for component, expected in zip(COMPONENTS, librosa.effects.hpss(samples.T.copy()), strict=True):
            found, _ = soundfile.read(
                stem_of(float_out, excerpts, path, component, "wav"), dtype="float32", always_2d=True
            )
            from_librosa = max(from_librosa, float(np.abs(found.T - expected).max()))
    from_input = 0.0
    for path in audio_files(audio):
        stems = [soundfile.SoundFile(stem_of(out, audio, path, c, "flac")) for c in COMPONENTS]
        for block in decoded(path):
            total = sum(stem.read(len(block), dtype="float64", always_2d=True) for stem in stems)
            from_input = max(from_input, float(np.abs(total - block).max()))
    return decibels(from_librosa), decibels(from_input)


def compare(audio: Path, folder: Path, processes: int, excerpt: float) -> None:
    seconds = seconds_of(audio_files(audio))
    print(f"{len(audio_files(audio))} tracks, {seconds / 60:.1f} minutes, {processes} processes\n")
    mine = ours(audio, folder / "out", processes)
    start = ours(silence(folder / "silence"), folder / "nothing", processes)
    per_second, measured_on = loop(audio, folder / "loop", processes, excerpt)
    base = floor(audio, folder / "out", folder / "floor", processes)
    excerpts = folder / "excerpts"
    excerpts.mkdir()
    for path in sorted((folder / "loop").glob("*.wav")):
        path.rename(excerpts / path.name)
    float_wav = ("output.stems.format=wav", "output.stems.subtype=FLOAT")
    ours(excerpts, folder / "float", processes, *float_wav)
    from_librosa, from_input = errors(audio, folder / "out", folder / "float", excerpts)
    print(f"{'':8}{'wall s':>10}{'CPU s':>10}{'× real time':>14}")
    print(f"{'ours':8}{mine.wall:10.1f}{mine.cpu:10.1f}{seconds / mine.wall:14.0f}")
    print(f"{'loop':8}{per_second * seconds:10.1f}{'':10}{1 / per_second:14.1f}   (on {measured_on:.0f} s)")
    print(f"{'floor':8}{'':10}{base:10.1f}{'':14}   (decode and encode)\n")
    print(f"loop / ours, wall          {per_second * seconds / mine.wall:8.1f}    at least 30")
    print(f"ours / floor, CPU          {mine.cpu / base:8.2f}    at most 1.6")
    print(f"  without start-up         {(mine.cpu - start.cpu) / base:8.2f}    ({start.cpu:.1f} s)")
    print(f"ours − librosa, largest    {from_librosa:8.1f} dB at most −100")
    print(f"sum of FLAC stems − input  {from_input:8.1f} dB at most −90")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("audio", nargs="?", type=Path, help="a folder of audio; made if none is given")
    parser.add_argument("--minutes", type=float, default=60, help="of audio to make")
    parser.add_argument("--excerpt", type=float, default=30, help="seconds of each track for the loop")
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--part", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.part:
        parts = {"loop": run_loop, "encode": run_encode, "decode": run_decode}
        parts[given.part[0]](**json.loads(given.part[1]))
        return
    with tempfile.TemporaryDirectory() as folder:
        audio = given.audio or make(Path(folder, "music"), given.minutes, "ogg")
        compare(audio.resolve(), Path(folder), given.processes, given.excerpt)


if __name__ == "__main__":
    main()
