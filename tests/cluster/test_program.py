"""What a cluster needs of the program that starts it, and where it can be watched."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from helpers import settings

from hpss_batch.cluster import client as cluster
from hpss_batch.config.job import Job

RUN = 'import hpss_batch\nprint(hpss_batch.run(hpss_batch.Job.load("job.yaml")))\n'


@pytest.mark.parametrize(
    ("text", "way", "said"),
    [
        (RUN, "file", "script.py starts the run whenever it is imported"),
        (RUN, "module", "script.py starts the run whenever it is imported"),
        (RUN, "input", "is not in a file"),
        (f"{RUN}if __name__ == '__main__':\n    pass\n", "file", "could not be started"),
    ],
)
def test_a_program_that_workers_cannot_import_is_told_so_in_a_sentence(
    text: str, way: str, said: str, corpus_folder: Path, tmp_path: Path
) -> None:
    job = settings(corpus_folder, tmp_path / "out") | {"cluster": {"kwargs": {"n_workers": 2}}}
    (tmp_path / "job.yaml").write_text(Job.parse(job).to_yaml())
    (tmp_path / "script.py").write_text(text)
    words = {"file": ["script.py"], "module": ["-m", "script"], "input": ["-"]}[way]
    done = subprocess.run([sys.executable, *words], input=text, cwd=tmp_path, capture_output=True, text=True)
    *trace, last = done.stderr.splitlines()
    assert said in last
    assert 'if __name__ == "__main__":' in last
    assert len(trace) < 25
    assert "During handling" not in done.stderr
    assert done.returncode == 1


def watched(link: Any) -> Any:
    class Client:
        dashboard_link = property(lambda _: link())

    return Client()


def test_a_dashboard_is_named_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def unfilled() -> str:
        return "{JUPYTERHUB_SERVICE_PREFIX}/{port}".format_map({"port": 1})

    monkeypatch.setattr(cluster, "find_spec", lambda _: SimpleNamespace())
    assert cluster.dashboard(watched(lambda: "http://here:8787/status")) == "http://here:8787/status"
    assert cluster.dashboard(watched(unfilled)) is None
    assert cluster.dashboard(watched(str)) is None
    monkeypatch.setattr(cluster, "find_spec", lambda _: None)
    assert cluster.dashboard(watched(lambda: "http://here:8787/status")) is None
