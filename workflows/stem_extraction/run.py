"""Do the stems add up to the music? Renders them as job.yaml says, then adds the files up again and compares.

python workflows/stem_extraction/run.py [MUSIC] [-o FOLDER]
"""

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import soundfile

import hpss_batch

BLOCK = 65_536


def error_of_sum(source: Path, stems: list[str]) -> str:
    """Loudest sample of source minus stems, in dB of full scale; read in blocks, however long they are."""
    loudest = 0.0
    with ExitStack() as stack:
        opened = [stack.enter_context(soundfile.SoundFile(path)) for path in (source, *stems)]
        while True:
            whole, *parts = (file.read(BLOCK, dtype="float64", always_2d=True) for file in opened)
            if any(part.shape != whole.shape for part in parts):
                return "of another length"
            if not len(whole):
                return f"{20 * np.log10(loudest):.1f} dB" if loudest else "exactly 0"
            loudest = max(loudest, float(np.abs(whole - sum(parts)).max()))


def main() -> int:
    parser = argparse.ArgumentParser(description="Render stems, and check that they add up to the music.")
    parser.add_argument(
        "music", nargs="?", type=Path, help="a folder; three pieces are made if it is left out"
    )
    parser.add_argument("-o", "--output", type=Path, default=Path("hpss-batch-stems"), help="where to put it")
    given = parser.parse_args()

    if given.music is None:
        hpss_batch.example_corpus(given.output)
        music, out = given.output / "music", given.output / "out"
    else:  # a run directory of its own: one never holds two corpora
        music, out = given.music, given.output / f"out_{given.music.absolute().name}"
    job = hpss_batch.Job.load(
        Path(__file__).with_name("job.yaml"), [("corpus.path", str(music)), ("output.path", str(out))]
    )
    result = hpss_batch.run(job)

    corpus = hpss_batch.open_corpus(out)
    tracks = [track for track in corpus if track not in result.failed]
    width = max(map(len, tracks), default=5)
    print(f"{'track':{width}}{'channels':>10}{'Hz':>8}{'seconds':>9}   source - stems")
    for track in tracks:
        source, stems = music / track, list(corpus.stem_files(track).values())
        if not stems or not source.exists():
            continue  # no samples, or removed since
        about, error = soundfile.info(stems[0]), error_of_sum(source, stems)
        clipped = f"   clipped: {result.clipped[track]}" if track in result.clipped else ""
        print(
            f"{track:{width}}{about.channels:10}{about.samplerate:8}{about.duration:9.1f}   {error}{clipped}"
        )
    for track, reason in result.failed.items():
        print(f"{track}: {reason}")
    if result.exit_status < 2:
        print(f"Listen to {out / 'stems'}")
    return result.exit_status


if __name__ == "__main__":  # worker processes import this file, too
    try:
        raise SystemExit(main())
    except hpss_batch.HpssBatchError as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from None
