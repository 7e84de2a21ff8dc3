"""Harmonic/percussive source separation of whole audio corpora, on Dask and Zarr."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from hpss_batch.chunked import hpss
    from hpss_batch.cluster.driver import submit
    from hpss_batch.config.job import Job
    from hpss_batch.console.terminal import ProgressBar
    from hpss_batch.dsp.methods import methods
    from hpss_batch.dsp.stft import istft, stft
    from hpss_batch.errors import HpssBatchError
    from hpss_batch.labelled import separate
    from hpss_batch.products.computed.audio import open_audio
    from hpss_batch.products.computed.corpus import open_corpus
    from hpss_batch.products.demonstration.demo import example_corpus
    from hpss_batch.products.evaluation.evaluate import compare, evaluate
    from hpss_batch.products.evaluation.result import Comparison, Evaluation
    from hpss_batch.products.plots.plot import plot
    from hpss_batch.products.report.report import report
    from hpss_batch.products.training.windows import TrackWindows
    from hpss_batch.runner.plan import Plan, plan
    from hpss_batch.runner.render import render
    from hpss_batch.runner.run import Result, run
    from hpss_batch.runner.status import status
    from hpss_batch.store.reading.corpus import Corpus
    from hpss_batch.verification.prune import prune
    from hpss_batch.verification.verify import verify

_HOME = {
    "Comparison": "products.evaluation.result",
    "Corpus": "store.reading.corpus",
    "Evaluation": "products.evaluation.result",
    "HpssBatchError": "errors",
    "Job": "config.job",
    "Plan": "runner.plan",
    "ProgressBar": "console.terminal",
    "Result": "runner.run",
    "TrackWindows": "products.training.windows",
    "compare": "products.evaluation.evaluate",
    "evaluate": "products.evaluation.evaluate",
    "example_corpus": "products.demonstration.demo",
    "hpss": "chunked",
    "istft": "dsp.stft",
    "methods": "dsp.methods",
    "open_audio": "products.computed.audio",
    "open_corpus": "products.computed.corpus",
    "plan": "runner.plan",
    "plot": "products.plots.plot",
    "prune": "verification.prune",
    "render": "runner.render",
    "report": "products.report.report",
    "run": "runner.run",
    "separate": "labelled",
    "status": "runner.status",
    "stft": "dsp.stft",
    "submit": "cluster.driver",
    "verify": "verification.verify",
}

__all__ = [
    "Comparison",
    "Corpus",
    "Evaluation",
    "HpssBatchError",
    "Job",
    "Plan",
    "ProgressBar",
    "Result",
    "TrackWindows",
    "compare",
    "evaluate",
    "example_corpus",
    "hpss",
    "istft",
    "methods",
    "open_audio",
    "open_corpus",
    "plan",
    "plot",
    "prune",
    "render",
    "report",
    "run",
    "separate",
    "status",
    "stft",
    "submit",
    "verify",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first wanted: `import hpss_batch` takes no time."""
    if name in _HOME:
        value = getattr(import_module(f"hpss_batch.{_HOME[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'hpss_batch' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
