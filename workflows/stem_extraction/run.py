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
from hpss_batch.products.demonstration.demo import DAMAGED, make_corpus

BLOCK = 65_536


def made_music(folder: Path) -> Path:
    """Three short pieces, for a first try."""
    make_corpus(folder)
    (folder / "music" / DAMAGED).unlink()
    return folder / "music"


def error_of_sum(source: Path, stems: list[Path]) -> str:
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
        music, out = made_music(given.output), given.output / "out"
    else:  # a run directory of its own: one never holds two corpora
        music, out = given.music, given.output / f"out_{given.music.absolute().name}"
    job = hpss_batch.Job.load(
        Path(__file__).with_name("job.yaml"), [("corpus.path", str(music)), ("output.path", str(out))]
    )
    result = hpss_batch.run(job)

    catalog = result.catalog
    width = max((len(record.track) for record in catalog.stems.values()), default=5)
    print(f"{'track':{width}}{'channels':>10}{'Hz':>8}{'seconds':>9}   source - stems")
    for row in catalog.current.values():
        record, source = catalog.stems.get(row), Path(catalog.rows[row].path)
        if record is None or not record.stems or not source.exists():
            continue  # not rendered (see below), no samples, or removed since
        error = error_of_sum(source, [out / "stems" / stem.name for stem in record.stems.values()])
        seconds = record.n_samples / record.sample_rate
        print(
            f"{record.track:{width}}{record.channels:10}{record.sample_rate:8}{seconds:9.1f}   {error}"
            + (f"   clipped: {record.clipping}" if record.clipping else "")
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
