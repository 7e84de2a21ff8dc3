"""What is there to say about a run directory, and which of its tracks are worth showing?

`gather` looks at the records, at a sample of the tracks, and closely at a few of them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from hpss_batch.dsp.methods import Method
from hpss_batch.paths import is_url
from hpss_batch.products.report.excerpts import SECONDS, Cutter, Excerpt
from hpss_batch.products.report.measure import Meter
from hpss_batch.products.report.metrics import Measured, Outlier, outliers, sample_rows, with_stems
from hpss_batch.products.spectra import Spectra
from hpss_batch.runner.plan import Plan, plan_of_run
from hpss_batch.store.directory import GROUP, JOB, RunDirectory
from hpss_batch.store.stem_records import StemRecord

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Portrait:
    """A track that is shown, and why it was chosen."""

    measured: Measured
    why: str
    excerpt: Excerpt


@dataclass(frozen=True)
class Findings:
    """All that a page shows.

    Attributes
    ----------
    plan : Plan
        The run directory's job and catalog.
    job_yaml : str
        Its job, as run.
    measured : list of Measured
        The sampled tracks.
    n_measurable : int
        The tracks that they are a sample of.
    outliers : list of Outlier
        Of the sampled ones.
    portraits : list of Portrait
        The tracks that are shown.
    stems : dict of int to StemRecord
        What became of the stems of each row.
    skipped : dict of str to str
        See `RunDirectory.skipped`.
    stored_bytes : int or None
        Bytes of arrays and stems on disk; None where counting them would take long.
    written : datetime
        Now.
    """

    plan: Plan
    job_yaml: str
    measured: list[Measured]
    n_measurable: int
    outliers: list[Outlier]
    portraits: list[Portrait]
    stems: dict[int, StemRecord]
    skipped: dict[str, str]
    stored_bytes: int | None
    written: datetime


def gather(
    directory: RunDirectory,
    tracks: int,
    sample: int,
    progress: Progress | None = None,
    beside: Method | None = None,
) -> Findings:
    """Look at a run directory; see `report.report` for the parameters."""
    recorded = plan_of_run(directory)
    text = (directory.folder.read(JOB) or b"").decode("utf-8-sig")
    # of whatever settings they were made with
    stems = {
        row: record for key in directory.stem_keys() for row, record in directory.stem_records(key).items()
    }
    catalog = recorded.catalog.with_stems(stems)
    plan = replace(recorded, catalog=catalog)
    rows = sample_rows(catalog, sample)
    measured, portraits = list[Measured](), list[Portrait]()
    if rows:
        meter = Meter(plan, Spectra(directory, catalog), directory.group() if catalog.has_units else None)
        cutter, total = Cutter(plan, meter, beside), len(rows) + min(tracks, len(rows))
        for row in rows:
            measured.append(with_stems(meter.measure(row), stems.get(row)))
            if progress is not None:
                progress(len(measured), total)
        chosen = choose(measured, tracks)
        for one, why in chosen:
            portraits.append(Portrait(one, why, cutter.cut(one.row)))
            if progress is not None:
                progress(len(measured) + len(portraits), total)
    return Findings(
        plan,
        text,
        measured,
        sum(state.status == "done" and state.n_frames > 0 for state in catalog.states),
        outliers(measured),
        portraits,
        stems,
        directory.skipped(),
        None
        if is_url(directory.url)
        else sum(_bytes_below(Path(directory.url, name)) for name in (GROUP, "stems")),
        datetime.now(UTC),
    )


def choose(measured: Sequence[Measured], most: int) -> list[tuple[Measured, str]]:
    """Tracks worth looking at, and why: the ends of what was measured, its middle, and then whatever comes.

    Short ones are skipped where there are enough others, as little is seen and heard of them; then `why` says so.
    """
    found = dict[int, tuple[Measured, str]]()

    def take(ranked: Sequence[Measured], why: str) -> None:
        for one in ranked:
            if len(found) < most and one.row not in found:
                found[one.row] = one, why
                return

    long = [m for m in measured if m.seconds >= SECONDS / 2]
    long = long if len(long) >= most else list(measured)
    those = "those looked at" if len(long) == len(measured) else f"those of {SECONDS / 2:g} s or more"
    for key in ("percussive_energy", "percussive_weight"):
        ranked = sorted((m for m in long if key in m.values), key=lambda m: m.values[key])
        if ranked:
            middle = len(ranked) // 2
            take(ranked[middle:], f"typical: in the middle of {those}, by percussive share")
            take(ranked[::-1], f"the most percussive of {those}")
            take(ranked, f"the most harmonic of {those}")
            break
    ranked = sorted((m for m in long if "entropy" in m.values), key=lambda m: -m.values["entropy"])
    take(ranked, f"the one whose masks decide least, of {those}")
    rest = sorted((m for m in long if m.row not in found), key=lambda m: m.row)
    step = max(len(rest) // max(most - len(found), 1), 1)
    for one in rest[step // 2 :: step]:
        take([one], "one of the others" if len(found) else f"one of {those}")
    return list(found.values())


def _bytes_below(place: Path) -> int:
    return sum(entry.stat().st_size for entry in place.rglob("*") if entry.is_file()) if place.is_dir() else 0
