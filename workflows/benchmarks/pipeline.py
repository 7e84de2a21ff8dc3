"""How fast is audio → arrays in Zarr, beside the loop that one writes oneself, and beside what cannot be avoided?

    python workflows/benchmarks/pipeline.py                  # makes an hour of Ogg and an hour of FLAC
    python workflows/benchmarks/pipeline.py music/           # or takes yours
    python workflows/benchmarks/pipeline.py --arrays spectrogram

Measured one after the other, in one run, on all cores, each as a program of its own, start-up included:

loop   joblib over files: librosa.load, librosa.stft, librosa.decompose.hpss, zarr. On excerpts, scaled to the whole.
ours   `hpss-batch run`.
floor  As many processes as ours has, that do nothing but decode the same files with soundfile, mix them down, and
       compress and write the shards of our store again with zarr: the same bytes. (Reading them is not counted.)

Ours and floor take turns (`--rounds`), and the fastest of each counts: what files cost depends on what the
system's memory held before. CPU time is user + system of a program and all of its children; the loop's leaves out its
start-up.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import soundfile
from made_music import make

from hpss_batch.store.directory import RunDirectory

ARRAYS = {"masks": ["harmonic_mask", "percussive_mask"], "spectrogram": ["spectrogram"]}
DECODED_BLOCK = 65_536


@dataclass
class Measured:
    """Seconds of one program."""

    wall: float
    cpu: float


def measure(*commands: list[str]) -> tuple[Measured, list[str]]:
    """Run programs side by side; their wall and CPU time, and what each printed."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for command in commands]
    printed = [process.communicate()[0] for process in running]
    wall = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    for process, output in zip(running, printed, strict=True):
        if process.returncode:
            sys.exit(f"{' '.join(map(str, process.args))} failed:\n{output}")
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return Measured(wall, cpu), printed


def part(name: str, arguments: dict) -> list[str]:
    """The command that runs a part of this file as a program of its own."""
    return [sys.executable, __file__, "--part", name, json.dumps(arguments, default=str)]


# Ours


def ours(audio: Path, out: Path, arrays: list[str], processes: int) -> Measured:
    """`hpss-batch run`, as anybody would."""
    command = [str(Path(sys.executable).with_name("hpss-batch")), "run", str(audio), "-o", str(out)]
    for setting in (f"output.arrays={arrays}", f"cluster.kwargs.n_workers={processes}"):
        command += ["--set", setting]
    return measure(command)[0]


def computing(out: Path) -> float:
    """Seconds that the units of a run directory say stft and HPSS took."""
    commits = RunDirectory(out).commits().values()
    return sum(commit.seconds["stft"] + commit.seconds["hpss"] for commit in commits)


# The loop that one writes


def loop(
    audio: list[Path], folder: Path, masks: bool, processes: int, seconds: float
) -> tuple[Measured, float]:
    """The librosa loop on excerpts; its time, scaled to all of the audio, and the seconds of audio that it did."""
    lengths = {path: soundfile.info(path).duration for path in audio}
    longest = sorted(audio, key=lambda path: -lengths[path])[: 2 * processes]
    rounds = -(-2 * processes // len(longest))  # of few files, several excerpts each
    excerpts = []
    for nth in range(1, rounds + 1):
        for path in longest:
            duration = min(seconds, lengths[path])
            excerpts.append((path, (lengths[path] - duration) * nth / (rounds + 1), duration))
    done = sum(duration for _, _, duration in excerpts)
    arguments = {"excerpts": excerpts, "folder": folder, "masks": masks, "processes": processes}
    whole, (printed,) = measure(part("loop", arguments))
    work = json.loads(printed.splitlines()[-1])
    factor = sum(lengths.values()) / done
    return Measured(whole.wall + work["wall"] * (factor - 1), work["cpu"] * factor), done


def part_loop(excerpts: list, folder: str, masks: bool, processes: int) -> dict:
    """Every worker first does a second of audio, so that only start-up imports and compiles."""
    import joblib

    with joblib.Parallel(n_jobs=processes, batch_size=1) as parallel:
        parallel(joblib.delayed(loop_one)(excerpts[0][0], 0, 1, folder, masks) for _ in range(processes))
        started = time.perf_counter()
        cpu = parallel(joblib.delayed(loop_one)(*excerpt, folder, masks) for excerpt in excerpts)
    return {"wall": time.perf_counter() - started, "cpu": sum(cpu)}


def loop_one(path: str, offset: float, duration: float, folder: str, masks: bool) -> float:
    import librosa
    import zarr

    started = time.process_time()
    y, _ = librosa.load(path, sr=44_100, mono=True, offset=offset, duration=duration)
    spectrogram = librosa.stft(y)
    group = zarr.open_group(f"{folder}/{Path(path).name}.{offset:.0f}.{os.getpid()}.zarr", mode="w")
    if masks:
        harmonic, percussive = librosa.decompose.hpss(spectrogram, mask=True)
        group.create_array("harmonic_mask", data=harmonic)
        group.create_array("percussive_mask", data=percussive)
    else:
        group.create_array("spectrogram", data=spectrogram)
    return time.process_time() - started


# What cannot be avoided


def floor(audio: list[Path], out: Path, folder: Path, processes: int) -> tuple[Measured, dict[str, float]]:
    """Decode, mix down, compress and write; the same bytes as ours. Also the CPU time of either half."""
    source, target = out / "corpus.zarr", folder / "corpus.zarr"
    for metadata in source.glob("**/zarr.json"):
        copy = target / metadata.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(metadata, copy)
    shards = [path.relative_to(source) for path in sorted(source.glob("*/c.*")) if path.is_file()]
    shards = [[path.parent.name, [int(n) for n in path.name.split(".")[1:]]] for path in shards]
    commands = [
        part(
            "floor",
            {
                "audio": audio[at::processes],
                "shards": shards[at::processes],
                "source": source,
                "target": target,
            },
        )
        for at in range(processes)
    ]
    measured, printed = measure(*commands)
    parts = [json.loads(text.splitlines()[-1]) for text in printed]
    measured.cpu -= sum(each["uncounted_cpu"] for each in parts)
    measured.wall -= max(each["uncounted_wall"] for each in parts)
    return measured, {name: sum(each[name] for each in parts) for name in ("decode", "write")}


def part_floor(audio: list[str], shards: list, source: str, target: str) -> dict:
    import numpy as np
    import zarr

    from hpss_batch.store.arrays.group import zarr_settings

    started = time.process_time()
    stereo = {}
    mono = np.empty(DECODED_BLOCK, np.float32)
    for path in audio:
        with soundfile.SoundFile(path) as file:
            block = stereo.setdefault(file.channels, np.empty((DECODED_BLOCK, file.channels), np.float32))
            while len(read := file.read(out=block)):
                np.add(read[:, 0], read[:, -1], out=mono[: len(read)])
                np.multiply(mono[: len(read)], 0.5, out=mono[: len(read)])
    decode = time.process_time() - started
    write = uncounted_cpu = uncounted_wall = 0.0
    # the pipeline and the one thread that ours has; zarr's defaults take more CPU time
    with zarr_settings():
        old, new = zarr.open_group(source, mode="r"), zarr.open_group(target, mode="r+")
        arrays = {name: (old[name], new[name]) for name, _ in shards}
        for name, index in shards:
            there, here = arrays[name]
            region = tuple(
                slice(i * n, (i + 1) * n) for i, n in zip(index, there.shards or there.chunks, strict=True)
            )
            cpu, wall = time.process_time(), time.perf_counter()
            values = there[region]
            read = time.process_time()
            uncounted_cpu += read - cpu
            uncounted_wall += time.perf_counter() - wall
            here[region] = values
            write += time.process_time() - read
    return {
        "decode": decode,
        "write": write,
        "uncounted_cpu": uncounted_cpu,
        "uncounted_wall": uncounted_wall,
    }


# The table


def compare(audio: Path, work: Path, options: argparse.Namespace) -> None:
    """Measure a folder of audio in every way, and print what came out."""
    arrays, processes = ARRAYS[options.arrays], options.processes
    files, seconds = listen(audio)
    print(
        f"\n{audio.name}: {len(files)} files, {seconds / 60:.1f} minutes → {', '.join(arrays)}; "
        f"{processes} processes"
    )
    tiny = make(work / "tiny", 1 / 60, "flac")
    ours(tiny, work / "compiled", arrays, processes)  # compiles what is compiled once a machine
    start = ours(tiny, work / "start", arrays, processes)
    runs, floors = [], []
    for _ in range(options.rounds):
        for name in ("ours", "floor"):
            shutil.rmtree(work / name, ignore_errors=True)
        runs.append((ours(audio, work / "ours", arrays, processes), computing(work / "ours")))
        floors.append(floor(files, work / "ours", work / "floor", processes))
    measured, computed = min(runs, key=lambda pair: pair[0].wall)
    bare, halves = min(floors, key=lambda pair: pair[0].wall)
    written, same = size(work / "ours"), size(work / "floor")
    users, did = loop(files, work, options.arrays == "masks", processes, options.loop_seconds)

    print(f"{'':24}{'wall s':>9}{'× real time':>13}{'CPU s':>9}{'CPU / floor':>13}")
    rows = {"loop (scaled)": users, "ours": measured, "  its start-up": start, "floor": bare}
    for name, row in rows.items():
        speed = "" if name.startswith(" ") else f"{seconds / row.wall:.1f}"
        print(f"{name:24}{row.wall:9.2f}{speed:>13}{row.cpu:9.2f}{row.cpu / bare.cpu:13.2f}")

    least = halves["decode"] + halves["write"]
    warm = measured.cpu - start.cpu
    print(f"""
ours against the loop: {users.wall / measured.wall:.1f} × as fast; the floor: {users.wall / bare.wall:.1f} ×
ours against the floor: {measured.cpu / bare.cpu:.2f} × its CPU; without start-ups {warm / least:.2f} ×
overhead: {(warm - computed) / least - 1:.0%} of the floor (ours without start-up, stft and HPSS, less the floor)
CPU s: stft and HPSS {computed:.2f}, decode {halves["decode"]:.2f}, write {halves["write"]:.2f}
MB written: ours {written / 1e6:.0f}, floor {same / 1e6:.0f}
the loop did {did:.0f} s of the audio; the whole is {seconds / did:.1f} times that""")


def listen(audio: Path) -> tuple[list[Path], float]:
    """The files of a folder that libsndfile reads, and their seconds."""
    found = []
    for path in sorted(audio.rglob("*")):
        try:
            found.append((path, soundfile.info(path).duration))
        except (soundfile.LibsndfileError, TypeError):
            continue  # a cover, a licence, a folder
    if not found:
        sys.exit(f"{audio} holds no audio")
    return [path for path, _ in found], sum(duration for _, duration in found)


def size(out: Path) -> int:
    return sum(path.stat().st_size for path in (out / "corpus.zarr").rglob("*") if path.is_file())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("audio", type=Path, nargs="?", help="a folder of audio; made if there is none")
    parser.add_argument("--minutes", type=float, default=60, help="of each format that is made (60)")
    parser.add_argument("--formats", default="ogg,flac", help="that are made (ogg,flac)")
    parser.add_argument("--arrays", choices=ARRAYS, default="masks")
    parser.add_argument("--rounds", type=int, default=3, help="of ours and floor (3)")
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--loop-seconds", type=float, default=60, help="longest excerpt for the loop (60)")
    parser.add_argument(
        "--work", type=Path, help="where to write, on the disk to measure; a temporary folder"
    )
    parser.add_argument("--part", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        name, arguments = options.part
        print(json.dumps({"loop": part_loop, "floor": part_floor}[name](**json.loads(arguments))))
        return
    formats = options.formats.split(",") if options.audio is None else [None]
    for extension in formats:
        with tempfile.TemporaryDirectory(dir=options.work) as work:
            folder = options.audio or make(Path(work, extension), options.minutes, extension)
            compare(folder.resolve(), Path(work), options)


if __name__ == "__main__":
    main()
