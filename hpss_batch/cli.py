"""hpss-batch: plan, run and look at jobs from a shell.

Commands are thin: each reads its arguments, calls the same functions that the Python API has, and lets `console`
print. Whatever takes long to import is imported by the command that needs it.
"""

import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from hpss_batch import __version__
from hpss_batch.console.group import Group
from hpss_batch.console.options import job_of, job_options


def _version(ctx: click.Context, _: click.Parameter, asked: bool) -> None:
    if asked:
        from hpss_batch.console.versions import told

        click.echo(told(__version__))
        ctx.exit()


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_version,
    help="Show this version, those of what it computes and stores with, and exit.",
)
def main() -> None:
    """Split every track of an audio corpus into harmonic and percussive parts.

    \b
    hpss-batch demo                     see it work on a small corpus that it makes
    hpss-batch run music/ -o out/       run it on yours

    \b
    Exit status of every command:
      0    all that was asked for is done
      1    some is not: tracks failed, or what was checked is wrong; the output says which
      2    nothing could be done: wrong arguments, no such folder, an impossible job
      129, 130, 143    stopped: the terminal was closed, Ctrl-C, SIGTERM; run it again to go on
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that knows ASCII alone is no reason to stop
            stream.reconfigure(errors="replace")


_retry = click.option(
    "--retry-failed", is_flag=True, help="Try tracks again that failed or were quarantined."
)
_allow = click.option(
    "--allow-cluster-class",
    is_flag=True,
    help="Take cluster.class from any package, whose code then runs here.",
)


@main.command()
@click.option(
    "-o", "--output", default="hpss-batch-demo", show_default=True, metavar="DIR", help="Where to put it."
)
def demo(output: str) -> None:
    """Make a small corpus of music, run the real job on it, and say how well it did."""
    from hpss_batch.config.job import Job
    from hpss_batch.console.demonstration import print_demo_corpus, print_demo_end, print_demo_scores
    from hpss_batch.console.output import print_result
    from hpss_batch.console.terminal import ProgressBar
    from hpss_batch.products.demonstration.demo import example_corpus, score, write_parts
    from hpss_batch.runner.run import run as do_run

    music, out = Path(output, "music"), Path(output, "out")
    pieces = example_corpus(output, damaged=True)
    print_demo_corpus(music, out)
    with ProgressBar() as bar:
        result = do_run(Job.from_command_line(music, out), reporter=bar)
    print_result(result, bar)
    print_demo_scores(score(pieces, result.plan))
    print_demo_end(out, write_parts(output))


@main.command()
@click.argument("path", default="job.yaml", type=click.Path(dir_okay=False))
@click.option("--corpus", default="music/", show_default=True, help="corpus.path of the job.")
@click.option("-o", "--output", default="out/", show_default=True, help="output.path of the job.")
@click.option("--stems", is_flag=True, help="Fill in output.stems: audio files of the parts.")
@click.option("--features", is_flag=True, help="Fill in output.features: numbers to train on.")
@click.option(
    "--cluster",
    type=click.Choice(["slurm", "pbs", "kubernetes"]),
    help="Fill in cluster, which is this machine by default.",
)
def init(path: str, **words: Any) -> None:
    """Write a commented job to PATH, every key with its default. Edit it, and then plan and run it."""
    from hpss_batch.config.template import template
    from hpss_batch.console.streams import say
    from hpss_batch.errors import ConfigError

    text = template(**words)
    try:
        with Path(path).open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise ConfigError(f"{path} is there already; nothing was written. Give another name") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from error
    say(f"Wrote {path}. Next: hpss-batch plan {path}")


@main.command()
@job_options
@_retry
@_allow
@click.option("--json", "as_json", is_flag=True, help="Print figures for programs.")
def plan(retry_failed: bool, allow_cluster_class: bool, as_json: bool, **words: Any) -> None:
    """Say what a run would do: tracks, units, bytes, memory, time. Changes nothing."""
    from hpss_batch.console.output import print_plan, print_request
    from hpss_batch.console.streams import print_json
    from hpss_batch.console.terminal import ProgressBar
    from hpss_batch.runner.estimate import plan_figures
    from hpss_batch.runner.plan import plan as make_plan

    job = job_of(**words)
    with ProgressBar() as bar:
        planned = make_plan(
            job, retry_failed=retry_failed, progress=bar, allow_cluster_class=allow_cluster_class
        )
    if as_json:
        print_json(plan_figures(planned) | {"request": planned.request and planned.request.figures()})
    else:
        print_plan(planned)
        print_request(planned)


@main.command()
@job_options
@_retry
@_allow
@click.option("-q", "--quiet", is_flag=True, help="Say nothing unless something is wrong.")
def run(retry_failed: bool, quiet: bool, allow_cluster_class: bool, **words: Any) -> None:
    """Do what is not done yet. Run it again after anything: it goes on where it was.

    With --stems or --features, the only arrays are those that the run directory has or the job names.
    """
    from hpss_batch.console.output import print_result
    from hpss_batch.console.terminal import ProgressBar
    from hpss_batch.runner.run import run as do_run

    job = job_of(**words)
    with ProgressBar() as bar:
        reporter = None if quiet else bar
        result = do_run(
            job, retry_failed=retry_failed, reporter=reporter, allow_cluster_class=allow_cluster_class
        )
    if result.exit_status or not quiet:
        print_result(result, None if quiet else bar)
    sys.exit(result.exit_status)


@main.command()
@job_options
@_retry
@click.option(
    "--walltime", metavar="TIME", help="How long the run may take; as long as a job of workers by default."
)
def submit(retry_failed: bool, walltime: str | None, **words: Any) -> None:
    """Have a run done by a batch job of its own, on SLURM or PBS: it outlives your session."""
    from hpss_batch.cluster.driver import submit as do_submit
    from hpss_batch.console.output import print_submitted

    job = job_of(**words)
    print_submitted(job.output.path, do_submit(job, retry_failed=retry_failed, walltime=walltime))


@main.command()
@click.argument("out", metavar="OUT")
@click.option("--json", "as_json", is_flag=True, help="Print every track for programs.")
def status(out: str, as_json: bool) -> None:
    """Say what is done, pending and failed in a run directory, and why."""
    from hpss_batch.console.output import print_status
    from hpss_batch.console.streams import print_json
    from hpss_batch.runner.status import status as read_status

    found = read_status(out)
    if as_json:
        print_json(found.figures())
    else:
        print_status(found)
    sys.exit(found.exit_status)


@main.command()
@click.argument("out", metavar="OUT")
@click.option(
    "--sample",
    type=click.IntRange(min=0),
    default=4,
    show_default=True,
    metavar="N",
    help="Compute N units again, drawn at random, from their source and compare bits.",
)
@click.option("--all", "everything", is_flag=True, help="Compute all units again.")
@click.option("--heal", is_flag=True, help="Write what is wrong again, where that gives what was committed.")
@click.option("--corpus", multiple=True, metavar="PATH", help="Where the audio is now, if it was moved.")
@click.option("--json", "as_json", is_flag=True, help="Print every finding for programs.")
def verify(out: str, sample: int, everything: bool, heal: bool, corpus: Sequence[str], as_json: bool) -> None:
    """Prove that a run directory is what its commits say, and that its source gives the same bits.

    Exit status: 0 what was checked is sound now (healed included), 1 something is wrong or could not be proven, 2
    nothing could be verified.
    """
    from hpss_batch.console.output import print_verification
    from hpss_batch.console.streams import print_json
    from hpss_batch.console.terminal import ProgressBar
    from hpss_batch.verification.verify import verify as do_verify

    with ProgressBar("checking units") as bar:
        found = do_verify(
            out, sample=None if everything else sample, heal=heal, corpus=corpus or None, progress=bar
        )
    if as_json:
        print_json(found.figures())
    else:
        print_verification(found)
    sys.exit(found.exit_status)


@main.command()
@click.argument("out", metavar="OUT")
@click.option("-o", "--output", metavar="FILE", help="The file to write.  [default: OUT/report.html]")
@click.option(
    "--tracks",
    type=click.IntRange(min=0),
    default=4,
    show_default=True,
    metavar="N",
    help="Show N tracks with pictures and sounds.",
)
@click.option(
    "--sample",
    type=click.IntRange(min=1),
    default=200,
    show_default=True,
    metavar="N",
    help="Take figures from N tracks at most, drawn at random.",
)
@click.option("--method", metavar="NAME", help="Let these tracks be heard by librosa, tuned or banded, too.")
def report(out: str, output: str | None, tracks: int, sample: int, method: str | None) -> None:
    """Write a page about a run directory: totals, failures, distributions, outliers, pictures, sounds."""
    from hpss_batch.console.streams import say
    from hpss_batch.console.terminal import ProgressBar
    from hpss_batch.products.report.report import report as do_report

    with ProgressBar("looking at tracks") as bar:
        place = do_report(out, output, tracks=tracks, sample=sample, method=method, progress=bar)
    say(f"Wrote {place}")


@main.command()
@click.argument("out", metavar="OUT")
@click.argument("tracks", nargs=-1, required=True, metavar="TRACK...")
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Such as --set output.stems.format=wav, or output.stems.components=[residual].",
)
def render(out: str, tracks: Sequence[str], overrides: Sequence[str]) -> None:
    """Make stems of some tracks of a run directory: from their audio, or else from what is stored."""
    from hpss_batch.console.output import print_rendered
    from hpss_batch.console.streams import err
    from hpss_batch.runner.render import render as do_render

    records = do_render(out, tracks, overrides, say=err.say)
    print_rendered(out, records)
    n_done = sum(record.status == "done" for record in records.values())
    sys.exit(0 if n_done == len(records) else 1 if n_done else 2)


@main.command()
@click.argument("truth", nargs=-1, required=True, metavar="TRUTH...")
@click.option(
    "--pattern",
    default="{track}/{stem}.flac",
    show_default=True,
    help="Names of stems below TRUTH; {stem} is harmonic, percussive or mixture.",
)
@click.option("--job", "path", metavar="JOB.yaml", help="Take settings from this job.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Such as hpss.margin=3.")
@click.option(
    "--method",
    "methods",
    multiple=True,
    metavar="NAME",
    help="Separate by librosa, tuned or banded, as `run` does. Repeated, it compares them with the first.",
)
@click.option(
    "-o",
    "--output",
    default="evaluation.csv",
    show_default=True,
    metavar="FILE",
    help="Where scores go: a .csv or .json file.",
)
def evaluate(
    truth: Sequence[str],
    pattern: str,
    path: str | None,
    overrides: Sequence[str],
    methods: Sequence[str],
    output: str,
) -> None:
    """Score separation against known stems: SI-SDR, SDR, SIR, SAR, beside an ideal mask's."""
    from hpss_batch.console.scores import print_scores
    from hpss_batch.console.streams import say
    from hpss_batch.console.terminal import ProgressBar
    from hpss_batch.products.evaluation import evaluate as evaluation
    from hpss_batch.products.evaluation.result import check_target

    evaluation.check_overrides(overrides)
    sources, place = ([path], None) if path else (truth, "evaluation")
    jobs = {name: job_of(sources, place, overrides, name) for name in methods or [""]}
    check_target(output)
    with ProgressBar("scoring recordings") as bar:
        found = evaluation.compare(truth, jobs, pattern=pattern, progress=bar)
    print_scores(found)
    first, *others = found.evaluations.values()
    (found if others else first).save(output)
    say(f"\nSaved {output}")
    sys.exit(1 if first.failed else 0)


@main.command()
@click.argument("out", metavar="OUT")
@click.argument("track", metavar="TRACK")
@click.option(
    "-o", "--output", metavar="FILE", help="A .png, .pdf or .svg; named after the track by default."
)
@click.option("--start", type=float, default=0.0, show_default=True, help="Seconds into the track.")
@click.option("--duration", type=float, help="Seconds to show; to the end by default.")
def show(out: str, track: str, output: str | None, start: float, duration: float | None) -> None:
    """Draw a track's spectrograms: full, harmonic, percussive, and residual where there is one."""
    from hpss_batch.console.streams import say
    from hpss_batch.products.plots.plot import plot_track, save

    figure = plot_track(out, track, start=start, duration=duration)
    say(f"Wrote {save(figure, output or f'{Path(track).stem}.png')}")


@main.command()
@click.argument("out", metavar="OUT")
@click.option("-n", "--dry-run", is_flag=True, help="Say only what would be freed.")
@click.option("--json", "as_json", is_flag=True, help="Print every file for programs.")
def prune(out: str, dry_run: bool, as_json: bool) -> None:
    """Free what nobody needs of a run directory: of tracks that were placed again, and what crashes left."""
    from hpss_batch.console.streams import print_json, say
    from hpss_batch.verification.prune import prune as do_prune

    pruned = do_prune(out, dry_run=dry_run)
    if as_json:
        print_json(pruned.figures())
    else:
        say(pruned.summary())
