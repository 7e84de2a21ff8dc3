"""What does a component sound like, frame by frame, in a few numbers?

Every feature begins as sums over the bins of a frame's power, which `bands` makes: mel bands, chroma, energy.
What is made of them looks at one frame alone, save for onsets: these look back, and `Feature.before` says how
far. So a frame's bits depend on no other frames, nor on the other features that are asked for.

Values equal librosa's of the same component to 1e-4, with ``top_db=None``, ``tuning=0`` and a reference of 1:
librosa's defaults for these depend on the whole of what is passed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hpss_batch.dsp.filterbanks import FilterBanks, Float32, band_sums
from hpss_batch.dsp.params import COMPONENTS, FeatureParams, StftParams
from hpss_batch.errors import ParameterError

BANKS = ("mel", "chroma", "energy")
OF_EACH_COMPONENT = ("mel", "log_mel", "rms")
ONSET_LAG = 1
LEAST_POWER = np.float32(1e-10)


@dataclass(frozen=True)
class Feature:
    """One feature of one component.

    Attributes
    ----------
    name : str
        The kind, and the component where there may be several or the dimension has the kind's name.
    kind, component : str
        One of those of `FeatureParams`; the component that it describes.
    dims : tuple of str
        Its dimensions beyond the frame: ("mel",), ("chroma",), or none.
    shape : tuple of int
        Their sizes.
    units, long_name : str
        For CF attributes.
    before : int
        Frames before a frame that it looks at: its halo, on top of HPSS's. After it, none.
    """

    name: str
    kind: str
    component: str
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    units: str
    long_name: str
    before: int = 0


def list_features(params: FeatureParams, stft: StftParams) -> tuple[Feature, ...]:
    """The features that `frame_features` computes, in its order."""
    found = []
    mel, chroma = (("mel",), (params.n_mels,)), (("chroma",), (params.n_chroma,))
    for kind in params.kinds:
        if kind in OF_EACH_COMPONENT:
            dims, shape = mel if kind != "rms" else ((), ())
            units = "dB" if kind == "log_mel" else "1"
            said = {
                "mel": "power in mel bands",
                "log_mel": "power in mel bands, relative to 1",
                "rms": "RMS",
            }[kind]
            found += [
                Feature(f"{kind}_{part}", kind, part, dims, shape, units, f"{said}, of the {part} component")
                for part in params.components
            ]
        elif kind == "chroma":
            said = "energy by pitch class, of the harmonic component, relative to the strongest"
            # not "chroma", which is what its bands are called
            found.append(Feature("chroma_harmonic", kind, "harmonic", *chroma, "1", said))
        elif kind == "onset":
            said = "onset strength of the percussive component: mean rise over the mel bands"
            before = ONSET_LAG + _onset_delay(stft)
            found.append(Feature(kind, kind, "percussive", (), (), "dB", said, before))
        else:
            said = "energy of the harmonic component, relative to harmonic and percussive"
            found.append(Feature(kind, kind, "harmonic", (), (), "1", said))
    return tuple(found)


def needed_components(params: FeatureParams) -> tuple[str, ...]:
    """Components whose magnitude `frame_features` needs."""
    needed = set(params.components) if set(params.kinds) & set(OF_EACH_COMPONENT) else set()
    if "chroma" in params.kinds:
        needed.add("harmonic")
    if "onset" in params.kinds:
        needed.add("percussive")
    if "harmonic_ratio" in params.kinds:
        needed |= {"harmonic", "percussive"}
    return tuple(component for component in COMPONENTS if component in needed)


def frame_features(
    magnitudes: Mapping[str, Float32],
    params: FeatureParams,
    stft: StftParams,
    banks: FilterBanks,
    *,
    start: int = 0,
    stop: int | None = None,
) -> dict[str, Float32]:
    """Features of the frames from start to stop.

    Frames before `start` are context only: with `Feature.before` of them (less where the track begins), any
    cutting of a track gives the same bits.

    Parameters
    ----------
    magnitudes : mapping of str to float32, shape (frame, bin)
        Magnitude of each of `needed_components`.
    params, stft, banks
        What to compute; how frames were made; the weights.
    start, stop : int
        Frames wanted; all by default.

    Returns
    -------
    dict of str to float32, shape (stop - start, *Feature.shape)
        By `Feature.name`.

    Raises
    ------
    ParameterError
        If a component that is needed is missing.
    """
    missing = set(needed_components(params)) - set(magnitudes)
    if missing:
        raise ParameterError(f"the magnitude of {', '.join(sorted(missing))} is missing: pass it as well")
    stop = min(map(len, magnitudes.values())) if stop is None else stop
    wanted = list_features(params, stft)
    begin = max(0, start - max((feature.before for feature in wanted), default=0))
    own = slice(start - begin, stop - begin)
    bands: dict[tuple[str, str], Float32] = {}
    for component in needed_components(params):
        used = [bank for bank in BANKS if _uses(params, component, bank)]
        sums = band_sums(magnitudes[component][begin:stop], [getattr(banks, bank) for bank in used])
        bands.update({(component, bank): values for bank, values in zip(used, sums, strict=True)})
    found: dict[str, Float32] = {}
    for feature in wanted:
        part = feature.component
        if feature.kind == "mel":
            found[feature.name] = bands[part, "mel"][own]
        elif feature.kind == "log_mel":
            found[feature.name] = decibels(bands[part, "mel"][own])
        elif feature.kind == "chroma":
            found[feature.name] = strongest_is_one(bands[part, "chroma"][own])
        elif feature.kind == "onset":
            found[feature.name] = onset_strength(decibels(bands[part, "mel"]), _onset_delay(stft))[own]
        elif feature.kind == "rms":
            found[feature.name] = np.sqrt(bands[part, "energy"][own, 0])
        else:
            both = (bands[part, "energy"][own, 0] for part in ("harmonic", "percussive"))
            found[feature.name] = ratio(*both)
    return found


def decibels(power: Float32) -> Float32:
    """Power in dB relative to 1, at least -100, as `librosa.power_to_db` with ``top_db=None``."""
    return np.float32(10) * np.log10(np.maximum(power, LEAST_POWER))


def strongest_is_one(chroma: Float32) -> Float32:
    """Each frame divided by its largest value, as librosa's chroma; silent frames are left as they are."""
    strongest = chroma.max(axis=1, keepdims=True, initial=0)
    strongest[strongest < np.finfo(np.float32).tiny] = 1
    return chroma / strongest


def onset_strength(log_mel: Float32, delay: int) -> Float32:
    """Mean rise over the bands from frame to frame, `delay` frames later: `librosa.onset.onset_strength`.

    The delay makes up for the window: a centred frame hears an onset before its own time. The first
    ``ONSET_LAG + delay`` frames are 0.
    """
    rise = np.maximum(log_mel[ONSET_LAG:] - log_mel[:-ONSET_LAG], 0)
    strength = np.zeros(len(log_mel), np.float32)
    kept = max(0, len(log_mel) - ONSET_LAG - delay)
    # Sums over the bands one by one, whichever way NumPy would add up a block of this shape.
    total = np.zeros(kept, np.float32)
    for band in rise[:kept].T:
        total += band
    strength[ONSET_LAG + delay :] = total / np.float32(log_mel.shape[1])
    return strength


def ratio(part: Float32, other: Float32) -> Float32:
    """part / (part + other); one half where both are silent, as masks are there."""
    total = part + other
    silent = total < np.finfo(np.float32).tiny
    total[silent] = 1
    shares = part / total
    shares[silent] = 0.5
    return shares


def summarise(values: Float32, percentiles: Sequence[float] = (5, 25, 50, 75, 95)) -> dict[str, Float32]:
    """Mean, deviation and percentiles of a track's frames.

    Parameters
    ----------
    values : float32, shape (frame, ...)
        A feature of all frames of one track. Bands may be passed a few at a time: each stands for itself.
    percentiles : sequence of float
        Each from 0 to 100.

    Returns
    -------
    dict of str to float32, shape values.shape[1:]
        ``mean``, ``deviation`` (of the population), and ``p5``, ``p25``, …; NaN where there are no frames.
    """
    names = ["mean", "deviation", *(f"p{q:g}" for q in percentiles)]
    if not len(values):
        return {name: np.full(values.shape[1:], np.nan, np.float32) for name in names}
    # Band by band in one run of memory, so that the order of a sum does not depend on the number of bands.
    bands = np.ascontiguousarray(np.moveaxis(values, 0, -1))
    found = [bands.mean(axis=-1, dtype=np.float64), bands.std(axis=-1, dtype=np.float64)]
    found += list(np.percentile(bands, list(percentiles), axis=-1))
    return {name: np.asarray(value, np.float32) for name, value in zip(names, found, strict=True)}


def _onset_delay(stft: StftParams) -> int:
    """Frames from a centred window's first look at an onset to its own time."""
    return stft.n_fft // (2 * stft.hop_length) if stft.center else 0


def _uses(params: FeatureParams, component: str, bank: str) -> bool:
    """Whether a feature asked for needs the sums of a bank over a component."""
    kinds = set(params.kinds)
    of_each = component in params.components
    if bank == "mel":
        return bool(of_each and kinds & {"mel", "log_mel"}) or (
            component == "percussive" and "onset" in kinds
        )
    if bank == "chroma":
        return component == "harmonic" and "chroma" in kinds
    return (of_each and "rms" in kinds) or (component != "residual" and "harmonic_ratio" in kinds)
