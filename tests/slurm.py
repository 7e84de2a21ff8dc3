"""A SLURM of three commands, which start job scripts as processes of this machine: for a PATH of its own."""

import os
import subprocess
from pathlib import Path

COMMANDS = {
    "sbatch": """
[ -e refusal ] && { cat refusal >&2; exit 1; }
id=1; until mkdir job$id 2>/dev/null; do id=$((id + 1)); done
cp "$1" job$id/script
[ -e held ] || sh start $id
echo "Submitted batch job $id"
""",
    "squeue": """
for job in job*; do
  [ -e $job/ended ] && continue
  [ -e $job/pid ] && echo "${job#job} RUNNING (None)" || echo "${job#job} PENDING (BeginTime)"
done
""",
    "scancel": """
touch job$1/ended
[ -e job$1/pid ] && kill -- -$(cat job$1/pid) 2>/dev/null
true
""",
}
"""Each begins in the folder that says what the queue knows."""

START = """
id=$1; export SLURM_JOB_ID=$id
log=$(sed -n 's/^#SBATCH -e //p' job$id/script | sed "s/%J/$id/")
setsid sh -c "sh job$id/script; touch job$id/ended" >/dev/null 2>"${log:-/dev/null}" </dev/null &
echo $! > job$id/pid
"""


class Slurm:
    """The queue, and what a person does to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "bin").mkdir(parents=True)
        (folder / "start").write_text(START)
        for name, body in COMMANDS.items():
            command = folder / "bin" / name
            command.write_text(f"#!/bin/sh\ncd {folder}\n{body.lstrip()}")
            command.chmod(0o755)
        self.path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"

    @property
    def submitted(self) -> int:
        """How many jobs there ever were."""
        return len(list(self.folder.glob("job*")))

    @property
    def queue(self) -> list[str]:
        """Jobs that have not ended, a line each."""
        return self._run("squeue").splitlines()

    def cancel(self) -> None:
        """`scancel --me`."""
        for line in self.queue:
            self._run("scancel", line.split()[0])

    def refuse(self, words: str) -> None:
        """Take no more jobs."""
        (self.folder / "refusal").write_text(words)

    def hold(self) -> None:
        """Start no more jobs."""
        (self.folder / "held").touch()

    def _run(self, *words: str) -> str:
        return subprocess.run(
            [str(self.folder / "bin" / words[0]), *words[1:]], capture_output=True, text=True, check=True
        ).stdout
