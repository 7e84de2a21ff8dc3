"""How does a run itself get into a batch system? What drives it, one process for hours, becomes a job of its own.

Its script is that of a job of workers, at another size and with another command: queue, account, directives and
prologue are those of `cluster.kwargs`. What it needs and says lies in the run directory, as `driver.sh`, `driver.yaml`
and `driver.log`.
"""

import re
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path

from hpss_batch.cluster.arguments import INHERITED
from hpss_batch.cluster.client import request
from hpss_batch.config.job import Job
from hpss_batch.errors import ClusterError
from hpss_batch.paths import absolute, check_place, is_url
from hpss_batch.text import one_line

SIZE = {"cores": 1, "processes": 1, "memory": "4GiB", "job_cpu": None, "job_mem": None, "resource_spec": None}
"""Of a driver's job; planning a million tracks takes 2.7 GiB (workflows/benchmarks, Scale)."""


@dataclass(frozen=True)
class System:
    """A batch system: its commands to submit a script, to look at a job and to end it, and directives for its log.

    What PBS has of a job's words goes to its log when the job ends, in place of what is there.
    """

    prefix: str
    submit: str
    look: str
    cancel: str
    log: tuple[str, ...]


SLURM = System("#SBATCH", "sbatch", "squeue --job", "scancel", ("-o {}/driver.log", "--open-mode=append"))
PBS = System("#PBS", "qsub", "qstat", "qdel", ("-o {}/driver.out", "-j oe"))
SYSTEMS = {"dask_jobqueue.SLURMCluster": SLURM, "dask_jobqueue.PBSCluster": PBS}


@dataclass(frozen=True)
class Submitted:
    """A run that a batch system has taken.

    Attributes
    ----------
    id : str
        Its job.
    look, cancel : str
        Commands that say what becomes of the job, and end it.
    log : str
        The file in which the run says what it does.
    """

    id: str
    look: str
    cancel: str
    log: str


def submit(job: Job, *, retry_failed: bool = False, walltime: str | None = None) -> Submitted:
    """Have a run done by a job of the batch system that its workers come from: SLURM or PBS.

    Parameters
    ----------
    job : Job
        The job. Its script goes into its run directory, or into this folder where that is in a bucket.
    retry_failed : bool
        As in `run`.
    walltime : str, optional
        How long it may take, in the batch system's words; by default as long as a job of workers.

    Returns
    -------
    Submitted

    Raises
    ------
    ClusterError
        If it is refused, or its cluster is another.
    """
    system = SYSTEMS.get(job.cluster.class_name or "")
    if system is None:
        raise ClusterError(
            f"a run is submitted to where its workers come from, and cluster.class is {job.cluster.class_name}; "
            f"allowed: {', '.join(SYSTEMS)}"
        )
    check_place(job.output.path)
    folder = Path.cwd() if is_url(job.output.path) else Path(absolute(job.output.path))
    script = folder / "driver.sh"
    text = _script(
        job, system, folder, ["--retry-failed"] * retry_failed, {"walltime": walltime} if walltime else {}
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "driver.yaml").write_text(job.absolute().to_yaml(defaults=False), encoding="utf-8")
    script.write_text(text, encoding="utf-8")
    number = _submitted(system, script)
    return Submitted(
        number, f"{system.look} {number}", f"{system.cancel} {number}", str(folder / "driver.log")
    )


def _script(job: Job, system: System, folder: Path, options: list[str], changes: dict[str, str]) -> str:
    """What is submitted: the script of a job of workers, but for its size, its log and its last line."""
    kwargs = {**job.cluster.kwargs, **SIZE, "job_name": "hpss-batch", **changes}
    known = {name: value for name, value in kwargs.items() if value is not None}
    asked = request(job.replace({"cluster.kwargs": known}).cluster, job.dask)
    assert asked is not None
    assert asked.text is not None
    *lines, worker = asked.text.rstrip().split("\n")
    lines = [line for line in lines if not line.startswith((f"{system.prefix} -e ", f"{system.prefix} -o "))]
    end = max(number for number, line in enumerate(lines) if line.startswith(system.prefix)) + 1
    directives = [f"{system.prefix} {words.format(shlex.quote(str(folder)))}" for words in system.log]
    python, _, _ = worker.partition(" -m ")
    run = shlex.join(["-m", "hpss_batch", "run", str(folder / "driver.yaml"), *options])
    quoted = (shlex.quote(str(place)) for place in (folder / "driver.log", Path.cwd()))
    there = "exec >> {} 2>&1\ncd {}".format(*quoted)
    prologue = [line for line in lines[end:] if line and not line.startswith(f"export {INHERITED}=")]
    return "\n".join([*lines[:end], *directives, "", there, *prologue, f"exec {python} {run}", ""])


def _submitted(system: System, script: Path) -> str:
    """The number of the job that a script has become."""
    try:
        done = subprocess.run([system.submit, script], capture_output=True, text=True)
    except FileNotFoundError:
        raise ClusterError(
            f"{system.submit} is not on this machine: submit where jobs are submitted"
        ) from None
    number = re.search(r"\d\S*", done.stdout)
    if done.returncode or number is None:
        raise ClusterError(f"{system.submit} does not take {script}: {one_line(done.stderr or done.stdout)}")
    return number[0]
