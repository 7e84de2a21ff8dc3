"""How does a plan read?"""

from rich.markup import escape
from rich.table import Table

from hpss_batch.console.words import out, print_reasons
from hpss_batch.runner.cluster import describe
from hpss_batch.runner.estimate import plan_figures
from hpss_batch.runner.plan import Plan
from hpss_batch.text import clock, size


def print_plan(plan: Plan) -> None:
    """A plan as a person reads it."""
    figures = plan_figures(plan)
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    rows = figures["tracks"]
    table.add_row("corpus", escape(plan.job.corpus.path))
    table.add_row("run directory", escape(plan.job.output.path))
    words = f"{sum(rows.values()):,}, {clock(figures['audio_seconds'])} of audio"
    table.add_row("tracks", words + "".join(f"; {n:,} {status}" for status, n in sorted(rows.items())))
    if plan.catalog.has_units:
        units = figures["units"]
        words = f"{units['total']:,} of {units['frames']:,} frames; {units['done']:,} done, {units['pending']:,} to do"
        words += f", {units['waiting']:,} wait for the source" if units["waiting"] else ""
        table.add_row("units", words)
    for name, n_bytes in figures["array_bytes"].items():
        table.add_row(name, f"{plan.shape.dtype(name)}, {size(n_bytes)} before compression")
    if plan.stems is not None:
        stems = figures["stems"]
        words = f"{stems['files']:,} files ({stems['encoding']}) of {stems['pending']:,} tracks to make"
        table.add_row("stems", words + (f", {stems['done']:,} tracks done" if stems["done"] else ""))
    table.add_row("memory", f"at most {size(figures['task_bytes'])} for each worker thread")
    table.add_row("cluster", escape(describe(plan.job.cluster)))
    if plan.is_done:
        table.add_row("time", "none: there is nothing to do")
    elif figures["seconds"] is not None:
        table.add_row("time", f"about {clock(figures['seconds'])}, from a short measurement on this machine")
    out.print(table)
    if plan.listing is not None:
        for heading, found in (
            ("not read here", plan.listing.unreadable),
            ("passed over", plan.listing.skipped),
        ):
            print_reasons(heading, {str(a): str(b) for a, b in found})
    print_reasons("cannot be read", figures["unreadable"])
    if plan.stems is not None:
        print_reasons("cannot have such stems", plan.stems.refused)
