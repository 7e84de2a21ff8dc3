"""What does `hpss-batch demo` say?"""

from pathlib import Path

from rich.table import Table

from hpss_batch.console.streams import out, shown
from hpss_batch.products.demonstration.demo import DAMAGED, SONGS
from hpss_batch.products.evaluation.result import Evaluation
from hpss_batch.products.evaluation.truth import SOURCES


def print_demo_corpus(music: Path, run_directory: Path) -> None:
    """What the demonstration made, and what it runs."""
    out.print(f"Made {shown(music)}/: chords and drums, mixed from known stems, in three formats")
    out.print("  " + ", ".join(f"{s.name} ({_layout(s.channels)}, {s.sample_rate:,} Hz)" for s in SONGS))
    out.print(f"  and {DAMAGED}, of which two thirds are missing.")
    out.print(f"\n[bold]$ hpss-batch run {shown(music)} -o {shown(run_directory)}")


def _layout(channels: int) -> str:
    return {1: "mono", 2: "stereo"}[channels]


def print_demo_scores(found: Evaluation) -> None:
    """How well masks separate the known stems."""
    out.print("\nSignal-to-distortion ratio against the known stems, in dB (larger is better):")
    table = Table(box=None, padding=(0, 2))
    for heading in ("track", "component", "mixture", "separated", "gain"):
        table.add_column(heading, justify="left" if heading in ("track", "component") else "right")
    for score in found.scores:
        for component in SOURCES:
            before, after = (score.ratios[component, estimate].sdr for estimate in ("mixture", "separated"))
            table.add_row(score.track, component, f"{before:.1f}", f"{after:.1f}", f"{after - before:+.1f}")
    out.print(table)


def print_demo_end(run_directory: Path) -> None:
    """What to type next."""
    out.print("\nNext:")
    out.print(f"  hpss-batch status {shown(run_directory)}")
    out.print(f"  hpss-batch evaluate {shown(run_directory.with_name('truth'))}")
    out.print("  hpss-batch run YOUR_MUSIC/ -o out/")
    out.print("  python")
    out.print("  >>> import hpss_batch")
    out.print(f'  >>> corpus = hpss_batch.open_corpus("{shown(run_directory)}")')
    out.print(f'  >>> corpus["{SONGS[0].name}"].harmonic_mask')
