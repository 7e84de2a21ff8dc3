"""What does `hpss-batch demo` say?"""

from pathlib import Path

from rich.table import Table

from hpss_batch.console.streams import out, shown
from hpss_batch.products.demonstration.demo import DAMAGED, OTHER, SONGS
from hpss_batch.products.evaluation.result import Comparison
from hpss_batch.products.evaluation.truth import SOURCES


def print_demo_corpus(music: Path, run_directory: Path) -> None:
    """What the demonstration made, and what it runs."""
    out.print(
        f"Made {shown(music)}/: strings, a bass, a voice and drums, mixed from known stems, in three formats"
    )
    out.print("  " + ", ".join(f"{s.name} ({_layout(s.channels)}, {s.sample_rate:,} Hz)" for s in SONGS))
    out.print(f"  and {DAMAGED}, of which two thirds are missing.")
    out.print(f"\n[bold]$ hpss-batch run {shown(music)} -o {shown(run_directory)}")


def _layout(channels: int) -> str:
    return {1: "mono", 2: "stereo"}[channels]


def print_demo_scores(found: Comparison) -> None:
    """How well each method separates the known stems."""
    out.print(
        "\nScale-invariant signal-to-distortion ratio against the known stems, in dB (larger is better):"
    )
    methods = found.evaluations
    table = Table(box=None, padding=(0, 2))
    for heading in ("track", "component", "mixture", *methods):
        table.add_column(heading, justify="left" if heading in ("track", "component") else "right")
    for scores in zip(*(one.scores for one in methods.values()), strict=True):
        for component in SOURCES:
            before = scores[0].ratios[component, "mixture"].si_sdr
            after = [score.ratios[component, "separated"].si_sdr for score in scores]
            words = [f"{ratio:.1f} {ratio - before:+5.1f}" for ratio in after]
            table.add_row(scores[0].track, component, f"{before:.1f}", *words)
    out.print(table)


def print_demo_end(run_directory: Path, listen: Path) -> None:
    """What to listen to, and to type next."""
    out.print(
        f"\nListen to {shown(listen)}/: the parts of {SONGS[1].name}, by librosa's method and by {OTHER}."
    )
    out.print("\nNext:")
    out.print(f"  hpss-batch status {shown(run_directory)}")
    out.print(f"  hpss-batch evaluate {shown(run_directory.with_name('truth'))}")
    out.print(f"  hpss-batch run YOUR_MUSIC/ -o out/ --stems --method {OTHER}")
    out.print("  python")
    out.print("  >>> import hpss_batch")
    out.print(f'  >>> corpus = hpss_batch.open_corpus("{shown(run_directory)}")')
    out.print(f'  >>> corpus["{SONGS[0].name}"].harmonic_mask')
