"""Which settings of a job change a number, and in which of them do two jobs differ?"""

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from hpss_batch.config.yaml_reader import show
from hpss_batch.dsp.checks import Parameters

if TYPE_CHECKING:
    from hpss_batch.config.job import Job

NUMERICS_VERSION = 1
"""Goes up whenever a release computes other numbers from the same settings, in decoding or anywhere behind it."""


def store_numerics(job: "Job") -> dict[str, Any]:
    """Every setting of a job that changes a number of the store, as values fit for JSON.

    Not what chooses or places tracks, nor what runs them. A window of null samples is one of `n_fft`.
    """
    numeric: Any = {
        "corpus": {"sample_rate", "channels"},
        "stft": True,
        "hpss": True,
        "output": {"arrays", "mask_dtype", "unit_frames", "features"},
    }
    chosen: dict[str, Any] = plain(job.model_dump(include=numeric))
    del chosen["hpss"]["method"]  # which has other numbers if any of the rest has
    if job.hpss.channels == "each":  # as it always was
        del chosen["hpss"]["channels"]
    if job.corpus.decoder == "ffmpeg":  # else libsndfile reads what it knows, as it always did
        chosen["corpus"]["decoder"] = "ffmpeg"
    chosen["stft"]["win_length"] = job.stft.win_length or job.stft.n_fft
    if job.hpss.power == math.inf:
        chosen["hpss"]["power"] = "inf"
    return {**chosen, "numerics_version": NUMERICS_VERSION}


def stem_numerics(job: "Job") -> dict[str, Any]:
    """Every setting of a job that changes a stem or its name, as values fit for JSON; it has `output.stems`."""
    assert job.output.stems is not None
    numerics, stems = store_numerics(job), plain(job.output.stems.model_dump(by_alias=True))
    stems["components"] = sorted(stems["components"])
    second = stems.pop("second_pass")
    if job.output.stems.second_pass is not None:  # else keys are what they always were
        del second["hpss"]["method"]
        second["stft"]["win_length"] = second["stft"]["win_length"] or second["stft"]["n_fft"]
        if job.output.stems.second_pass.hpss.power == math.inf:
            second["hpss"]["power"] = "inf"
        stems["second_pass"] = second
    stems["format"] = job.output.stems.format.upper()
    return {"stems": stems, **{name: numerics[name] for name in ("stft", "hpss", "numerics_version")}}


def differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """Where two `Job.numerics` differ, for people: "hpss.margin: 1.0 there, 3.0 here".

    >>> differences({"hpss": {"margin": 1.0, "power": 2.0}}, {"hpss": {"margin": 3.0, "power": 2}})
    ['hpss.margin: 1.0 there, 3.0 here']
    """

    def said(value: Any) -> str:
        return "set" if isinstance(value, Mapping) else "not set" if value is absent else show(value)

    found, absent = list[str](), object()
    for key in {**there, **here}:
        old, new = there.get(key, absent), here.get(key, absent)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            found += [f"{key}.{difference}" for difference in differences(old, new)]
        elif old != new:
            found.append(f"{key}: {said(old)} there, {said(new)} here")
    return found


def plain(value: Any) -> Any:
    """Lists for tuples, and mappings for parameters, all the way down: what YAML and JSON know."""
    if isinstance(value, Parameters):
        value = asdict(value)
    if isinstance(value, Mapping):
        return {name: plain(inner) for name, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, list | tuple) else value
