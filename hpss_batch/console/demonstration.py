"""What does `hpss-batch demo` say?"""

from pathlib import Path

from rich.table import Table

from hpss_batch.console.streams import out, shown
from hpss_batch.products.demo import DAMAGED, PIECES, Score


def print_demo_corpus(music: Path, run_directory: Path) -> None:
    """What the demonstration made, and what it runs."""
    out.print(f"Made {shown(music)}/: chords and drums, mixed from known stems, in three formats")
    out.print("  " + ", ".join(f"{p.name} ({_layout(p.channels)}, {p.sample_rate:,} Hz)" for p in PIECES))
    out.print(f"  and {DAMAGED}, of which two thirds are missing.")
    out.print(f"\n[bold]$ hpss-batch run {shown(music)} -o {shown(run_directory)}")


def _layout(channels: int) -> str:
    return {1: "mono", 2: "stereo"}[channels]


def print_scores(scores: dict[str, list[Score]]) -> None:
    """How well masks separate the known stems."""
    out.print("\nSignal-to-distortion ratio against the known stems, in dB (larger is better):")
    table = Table(box=None, padding=(0, 2))
    for heading in ("track", "component", "mixture", "separated", "gain"):
        table.add_column(heading, justify="left" if heading in ("track", "component") else "right")
    for track, found in scores.items():
        for s in found:
            table.add_row(
                track, s.component, f"{s.before:.1f}", f"{s.after:.1f}", f"{s.after - s.before:+.1f}"
            )
    out.print(table)


def print_demo_end(run_directory: Path) -> None:
    """What to type next."""
    out.print("\nNext:")
    out.print(f"  hpss-batch status {shown(run_directory)}")
    out.print("  hpss-batch run YOUR_MUSIC/ -o out/")
    out.print("  python")
    out.print("  >>> import hpss_batch")
    out.print(f'  >>> corpus = hpss_batch.open_corpus("{shown(run_directory)}")')
    out.print(f'  >>> corpus["{PIECES[0].name}"].harmonic_mask')
