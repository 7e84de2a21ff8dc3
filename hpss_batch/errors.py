"""What can go wrong, in the few kinds that a caller would distinguish.

Every error of this package is an `HpssBatchError`. One that a parameter caused is a `ValueError` too, so that
code written for NumPy or librosa catches it as it always did.
"""


class HpssBatchError(Exception):
    """Base class of every error that this package raises on purpose."""


class ParameterError(HpssBatchError, ValueError):
    """A parameter has a value that is not allowed; the message names it, what is allowed, and what to do."""


class ConfigError(ParameterError):
    """A job's YAML has an unknown key, a wrong type or an impossible value; the message names key and line."""


class UnreachableError(HpssBatchError):
    """A file that was listed cannot be read from here: the fault of a disk, a mount or a network, not the file's.

    Attributes
    ----------
    worker : str
        Address of the Dask worker that could not.
    """

    def __init__(self, message: str, worker: str = "") -> None:
        super().__init__(message, worker)
        self.worker = worker

    def __str__(self) -> str:
        return str(self.args[0])


class AudioError(HpssBatchError):
    """A recording cannot be read as audio; the message is the reason that its track will show."""


class CorpusError(HpssBatchError):
    """A corpus holds nothing to do, or its tracks cannot be distinguished."""


class StoreError(HpssBatchError):
    """A run directory is missing, not ours, made by another job, or contradicts itself."""


class TrackError(HpssBatchError, KeyError):
    """A track is not in the store, or has no data there; the message says why."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class ClusterError(HpssBatchError):
    """A Dask cluster could not be started, reached, or kept alive."""
