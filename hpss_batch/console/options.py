"""Which job do the words of a command line mean? A YAML file, or a corpus and where results go; and keys on top."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from hpss_batch.config.job import Job

Command = Callable[..., Any]

_OPTIONS = (
    click.argument("sources", nargs=-1, required=True, metavar="JOB.yaml|CORPUS..."),
    click.option("-o", "--output", metavar="DIR", help="The run directory (output.path)."),
    click.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="KEY=VALUE",
        help="Set any key of the job, such as --set hpss.margin=3. May be repeated.",
    ),
    click.option(
        "--method",
        metavar="NAME",
        help="Separate by librosa, tuned or banded, in place of the job's hpss; stft follows unless given.",
    ),
    click.option("--stems", is_flag=True, help="Render harmonic and percussive audio files (output.stems)."),
    click.option("--features", is_flag=True, help="Compute mel bands and more (output.features)."),
    click.option(
        "--workers", type=click.IntRange(min=1), metavar="N", help="Start N workers; one a core by default."
    ),
)


def job_options(command: Command) -> Command:
    """The arguments of `job_of`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def job_of(
    sources: Sequence[str],
    output: str | None,
    overrides: Sequence[str],
    method: str | None = None,
    stems: bool = False,
    features: bool = False,
    workers: int | None = None,
) -> "Job":
    """The job that a command is given.

    Raises
    ------
    click.UsageError
        If there is no place for results, or a job and more.
    HpssBatchError
        If something is wrong with the job.
    """
    from hpss_batch.cluster.client import with_workers
    from hpss_batch.stems.plan import with_results

    chosen = [f"hpss={{method: {method}}}"] if method else []
    job = _job_as_given(sources, output, [*chosen, *overrides])
    wanted = [name for name, asked in (("stems", stems), ("features", features)) if asked]
    job = with_results(job, wanted) if wanted else job
    return with_workers(job, workers) if workers else job


def _job_as_given(sources: Sequence[str], output: str | None, overrides: Sequence[str]) -> "Job":
    from hpss_batch.config.job import Job

    jobs = [source for source in sources if Path(source).suffix.lower() in (".yaml", ".yml")]
    if jobs and len(sources) > 1:
        raise click.UsageError(
            f"{jobs[0]} is a job's YAML, which says itself what its corpus is: give it alone"
        )
    if jobs:
        return Job.load(jobs[0], [*([("output.path", output)] if output else []), *overrides])
    if output is None:
        corpus = " ".join(sources)
        raise click.UsageError(f"{corpus} is a corpus, not a job's YAML: say where results go, with -o DIR")
    return Job.from_command_line(sources, output, overrides)
