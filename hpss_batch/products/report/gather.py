"""What is there to tell of a run directory, and which of its tracks are worth showing?

`gather` looks at the records, at a sample of the tracks, and closely at a few of them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from hpss_batch.config.job import Job
from hpss_batch.errors import StoreError
from hpss_batch.products.report.excerpts import SECONDS, Cutter, Excerpt
from hpss_batch.products.report.measure import Meter
from hpss_batch.products.report.metrics import Measured, Outlier, outliers, sample_rows, with_stems
from hpss_batch.products.spectra import Spectra
from hpss_batch.runner.plan import Plan
from hpss_batch.store.arrays import open_group
from hpss_batch.store.catalog import Catalog
from hpss_batch.store.shard import GROUP
from hpss_batch.store.stem_records import StemRecord, declared, read_stems
from hpss_batch.store.storage import Folder, is_url

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Portrait:
    """A track that is shown, and why it was chosen."""

    measured: Measured
    why: str
    excerpt: Excerpt


@dataclass(frozen=True)
class Findings:
    """All that a page tells.

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
    stored_bytes: int | None
    written: datetime


def gather(folder: Folder, tracks: int, sample: int, progress: Progress | None = None) -> Findings:
    """Look at a run directory; see `report.write_report` for the parameters."""
    catalog = _read(folder)
    job = Job.of_run(folder)
    if job is None:
        raise StoreError(f"{folder.url}/job.yaml is missing; run the job again, which writes it")
    text = (folder.read("job.yaml") or b"").decode("utf-8-sig")
    stems = _stems(folder)
    catalog = catalog.with_stems(stems)
    plan = Plan(job, catalog, [])
    rows = sample_rows(catalog, sample)
    measured, portraits = list[Measured](), list[Portrait]()
    if rows:
        meter = Meter(plan, Spectra(folder, catalog), open_group(folder.url) if catalog.has_units else None)
        cutter, total = Cutter(plan, meter), len(rows) + min(tracks, len(rows))
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
        None
        if is_url(folder.url)
        else sum(_bytes_below(Path(folder.url, name)) for name in (GROUP, "stems")),
        datetime.now(UTC),
    )


def _read(folder: Folder) -> Catalog:
    catalog = Catalog.read(folder)
    if catalog is None:
        raise StoreError(
            f"{folder.url} is not a run directory: it has no layout/. Give the output.path of a job that was run"
        )
    return catalog


def _stems(folder: Folder) -> dict[int, StemRecord]:
    """The records of stems by row, of whatever settings they were made with."""
    found = dict[int, StemRecord]()
    for key in declared(folder):
        found |= read_stems(folder, key)
    return found


def choose(measured: Sequence[Measured], most: int) -> list[tuple[Measured, str]]:
    """Tracks worth looking at, and why: the ends of what was measured, its middle, and then whatever comes.

    Short ones are passed over where there are enough others, as little is seen and heard of them; then `why` says so.
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
