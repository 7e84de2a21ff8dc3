"""How do plans, results, states and proofs read in a terminal?"""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.table import Table

from hpss_batch.console.streams import out, shown
from hpss_batch.console.terminal import SHOWN, ProgressBar, print_reasons
from hpss_batch.text import clock, counted, listed, pace, size

if TYPE_CHECKING:
    from hpss_batch.cluster.driver import Submitted
    from hpss_batch.runner.plan import Plan
    from hpss_batch.runner.run import Result
    from hpss_batch.runner.status import RunStatus
    from hpss_batch.store.stem_records import StemRecord
    from hpss_batch.verification.findings import Finding, Verification


def print_result(result: Result, bar: ProgressBar | None) -> None:
    """How a run ended, and what to do next; how fast it was, if a bar watched it."""
    url = result.plan.job.output.path
    if bar and bar.n_tasks:
        seconds = time.monotonic() - bar.began
        out.print(f"{clock(bar.done)} of audio in {clock(seconds)}: {pace(bar.done, seconds)}.")
    nothing = bar and not bar.n_tasks and not result.broken and not result.elsewhere
    out.print(f"{'Nothing to do: ' if nothing else ''}{result.catalog.summary()}. Results: {shown(url)}")
    if result.elsewhere:
        out.print(f"Done by other drivers meanwhile: {counted(result.elsewhere, 'task')}.")
    if result.plan.n_relabelled:
        out.print(f"New values of the manifest's columns: {counted(result.plan.n_relabelled, 'track')}.")
    print_reasons("failed", {track: reason for track, (_, reason) in result.catalog.reasons.items()})
    print_reasons("without stems", result.catalog.stemless)
    print_reasons("silent in mono", result.catalog.cancelled)
    print_reasons("with clipped stems", result.clipped)
    print_reasons("not done", result.broken)
    if result.broken:
        out.print("Run the same command again to try these again.")
    elif result.plan.waiting:
        source = shown(result.plan.job.corpus.words)
        out.print(
            f"What is pending waits for its spectrograms in {source}: go on there, then run this again."
        )
    elif result.status.n_pending:
        out.print("Run the same command again, which does what is pending.")
    elif result.failed:
        out.print("Run again with --retry-failed once their files are repaired.")
    print_reasons("skipped", result.plan.skipped)


def print_rendered(url: str, records: Mapping[str, StemRecord]) -> None:
    """Which files were rendered, or why not."""
    folder = f"{url.rstrip('/')}/stems"
    for record in records.values():
        for stem in record.stems.values():
            words = f", {stem.clipped:,} samples clipped (peak {stem.peak:.2f})" if stem.clipped else ""
            out.print(f"{shown(f'{folder}/{stem.name}')}  {size(stem.n_bytes)}{words}")
    failed = {track: record.error or "" for track, record in records.items() if record.status != "done"}
    print_reasons("failed", failed)


def print_status(status: RunStatus) -> None:
    """The state of a run directory."""
    table = Table(box=None, padding=(0, 2))
    table.add_column("status", style="bold")
    table.add_column("tracks", justify="right")
    table.add_column("audio", justify="right")
    for name, n in sorted(status.catalog.counts.items()):
        table.add_row(name, f"{n:,}", clock(status.seconds[name]))
    out.print(table)
    pending = len(status.catalog.pending_units())
    if status.catalog.has_units:
        out.print(f"{counted(len(status.catalog.commits), 'unit')} done, {pending:,} to do")
    if status.stems is not None:
        out.print(
            "stems of " + ", ".join(f"{counted(n, 'track')} {what}" for what, n in status.stems.items() if n)
        )
    print_reasons("not done", {track: f"{s}: {error}" for track, (s, error) in status.reasons.items()})
    print_reasons("without stems", status.catalog.stemless)
    print_reasons("silent in mono", status.catalog.cancelled)
    print_reasons("skipped", status.skipped)


def print_plan(plan: Plan) -> None:
    """A plan as a person reads it."""
    from hpss_batch.runner.estimate import plan_figures

    figures = plan_figures(plan)
    tracks = figures["tracks"]
    words = f"{sum(tracks.values()):,}, {clock(figures['audio_seconds'])} of audio"
    words += "".join(f"; {n:,} {status}" for status, n in sorted(tracks.items()))
    removed = "; what another job placed there, of which nothing is done, is removed" if plan.replaced else ""
    rows = {
        "corpus": plan.job.corpus.words,
        "run directory": plan.job.output.path + removed,
        "tracks": words,
    }
    rows |= _separation_rows(figures["separation"])
    if plan.listing is not None and len(plan.catalog.generations) > len(plan.new):
        rows["files"] = _changes(plan.files)
    if plan.n_relabelled:
        rows["manifest"] = f"new values of its columns for {counted(plan.n_relabelled, 'track')}"
    rows |= _result_rows(plan, figures) | _cluster_rows(plan, figures)
    for name, words in rows.items():
        out.print(f"[bold]{name:{max(map(len, rows))}}[/]  {shown(words)}")
    if plan.listing is not None:
        for heading, found in (
            ("not read here", plan.listing.unreadable),
            ("skipped", plan.listing.skipped),
        ):
            print_reasons(heading, {str(a): str(b) for a, b in found})
    print_reasons("cannot be read", figures["unreadable"])
    if plan.stems is not None:
        print_reasons("cannot have such stems", plan.stems.refused)


def _result_rows(plan: Plan, figures: Mapping[str, Any]) -> dict[str, str]:
    """What will be made: units, arrays, stems."""
    rows = dict[str, str]()
    if plan.catalog.has_units:
        units = figures["units"]
        words = f"{units['total']:,} of {units['frames']:,} frames; {units['done']:,} done, {units['pending']:,} to do"
        words += f", {units['waiting']:,} wait for the source" if units["waiting"] else ""
        rows["units"] = words
    for name, n_bytes in figures["array_bytes"].items():
        rows[name] = f"{plan.shape.dtype(name)}, {size(n_bytes)} before compression"
    if plan.stems is not None:
        stems = figures["stems"]
        words = f"{stems['files']:,} files ({stems['encoding']}) of {stems['pending']:,} tracks to make"
        rows["stems"] = words + (f", {stems['done']:,} tracks done" if stems["done"] else "")
    return rows


def _cluster_rows(plan: Plan, figures: Mapping[str, Any]) -> dict[str, str]:
    """On what it will be made, in how much memory, and how long that takes."""
    rows = {"cluster": figures["cluster"]}
    if figures["workers"]:
        rows["workers"] = f"{figures['workers']:,}"
    rows["memory"] = f"at most {size(figures['task_bytes'])} for each worker thread"
    if figures["total_bytes"]:
        rows["memory"] += f", {size(figures['total_bytes'])} for all workers"
    if plan.is_done:
        rows["time"] = "none: there is nothing to do"
    elif figures["seconds"] is None:
        rows["time"] = "not known: it depends on the cluster's machines"
    else:
        basis = {"earlier": "from what earlier units took", "typical": "from what is typical"}
        when = "" if plan.job.cluster.is_local else " once all workers are there"
        rows["time"] = f"about {clock(figures['seconds'])}{when}, {basis[figures['seconds_basis']]}"
    return rows


def _separation_rows(figures: Mapping[str, Any]) -> dict[str, str]:
    """The method and its transform; its kernels in frames and bins."""
    words = f"n_fft {figures['n_fft']}, hop_length {figures['hop_length']}"
    kernels = []
    for band in figures["bands"]:
        widened = f" (highest of {band['widening']})" if band["widening"] > 1 else ""
        begins = f" from bin {band['start']}" if len(figures["bands"]) > 1 else ""
        kernels.append(
            f"{counted(band['frames'], 'frame')}{widened} × {counted(band['bins'], 'bin')}{begins}"
        )
    return {
        "method": f"{figures['method']}; {words}, {'as given' if figures['stft_given'] else 'which follow it'}",
        "kernels": "; ".join(kernels),
    }


def _changes(files: Mapping[str, int]) -> str:
    """What has become of the files of a run directory, and what follows for its rows."""
    words = f"{files['new']:,} new, {files['changed']:,} changed, {files['vanished']:,} vanished"
    if files["touched"]:
        words += f", {files['touched']:,} of other times but the same contents"
    if files["changed"]:
        words += "; what changed is placed again, and its old rows are superseded"
    if files["vanished"]:
        words += "; rows of what vanished stay, and are not computed where they are not done"
    return words


def print_request(plan: Plan) -> None:
    """What a batch system or Kubernetes would be asked for, word for word."""
    asked = plan.request
    if asked is None or asked.text is None:
        return
    workers = f"{counted(asked.workers, 'worker')} of {counted(asked.threads, 'thread')}"
    memory = f"{size(asked.process_bytes)} of memory" if asked.process_bytes else "no limit of memory"
    needed = size(asked.needed(plan.task_bytes))
    out.print(f"\nEach job or pod brings {workers} with {memory}, which needs at most {needed}:\n")
    out.say(asked.text)


def print_submitted(url: str, submitted: Submitted) -> None:
    """Which job a run has become, and how to watch it."""
    rows = {
        submitted.look: "is it waiting, or running?",
        shlex.join(["tail", "-F", submitted.log]): "what does it say?",
        shlex.join(["hpss-batch", "status", url]): "what is done?",
        submitted.cancel: "end it; what is committed is safe: submit it again",
    }
    out.print(f"Submitted as job {shown(submitted.id)}.")
    for command, purpose in rows.items():
        out.print(f"  {shown(command):{max(map(len, rows))}}  {purpose}")


def print_verification(found: Verification) -> None:
    """What a verification found, and what to do about it."""
    standing = [f for f in found.findings if not f.healed and f.level != "leftover"]
    others = [f for f in found.findings if f.healed or f.level == "leftover"]
    for finding in [*standing[:SHOWN], *others[:SHOWN]]:
        _print_finding(finding)
    hidden = sum(max(len(group) - SHOWN, 0) for group in (standing, others))
    if hidden:
        out.print(f"… and {hidden:,} more: --json has all")
    out.print(shown(found.summary()))


def _print_finding(finding: Finding) -> None:
    colour = "green" if finding.healed else {"wrong": "red", "unproven": "yellow"}.get(finding.level, "dim")
    word = "healed" if finding.healed else finding.level
    out.print(f"[{colour}]{word}[/] [bold]{shown(finding.place)}[/]: {shown(finding.what)}")
    rows = {"means": finding.means, "heal" if not finding.healed else "done": finding.cure}
    if finding.tracks:
        rows = {"tracks": listed(finding.tracks)} | rows
    for name, text in rows.items():
        out.print(f"  {name:7}{shown(text)}")
