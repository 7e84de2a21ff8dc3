"""What does a component sound like, frame by frame, in a few numbers?

Every feature begins as sums over the bins of a frame's power, which `filterbanks` makes: mel bands, chroma, energy.
What is made of them looks at one frame alone, save for onsets, which look back: `FrameFeatures` passes along a track
and holds what they need. So a frame's bits depend on no other frames than these, nor on the features asked for.

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
    """

    name: str
    kind: str
    component: str
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    units: str
    long_name: str


def list_features(params: FeatureParams) -> tuple[Feature, ...]:
    """The features that `FrameFeatures` computes, in its order."""
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
            found.append(Feature(kind, kind, "percussive", (), (), "dB", said))
        else:
            said = "energy of the harmonic component, relative to harmonic and percussive"
            found.append(Feature(kind, kind, "harmonic", (), (), "1", said))
    return tuple(found)


def needed_components(params: FeatureParams) -> tuple[str, ...]:
    """Components whose magnitude `FrameFeatures` needs."""
    needed = set(params.components) if set(params.kinds) & set(OF_EACH_COMPONENT) else set()
    if "chroma" in params.kinds:
        needed.add("harmonic")
    if "onset" in params.kinds:
        needed.add("percussive")
    if "harmonic_ratio" in params.kinds:
        needed |= {"harmonic", "percussive"}
    return tuple(component for component in COMPONENTS if component in needed)


class FrameFeatures:
    """Features of one channel's frames, which pass in order, some at a time: any cutting gives the same bits.

    Parameters
    ----------
    params, stft, banks
        What to compute; how frames were made; the weights.

    Attributes
    ----------
    lookback : int
        Frames that must have passed before one for its features to be right, as far as the track has them.
    """

    def __init__(self, params: FeatureParams, stft: StftParams, banks: FilterBanks) -> None:
        self.params, self.banks = params, banks
        self.wanted, self.needed = list_features(params), needed_components(params)
        # frames from a centred window's first look at an onset to its own time
        self.delay = stft.n_fft // (2 * stft.hop_length) if stft.center else 0
        self.lookback = ONSET_LAG + self.delay if "onset" in params.kinds else 0
        self._past = np.empty((0, params.n_mels), np.float32)

    def of(self, magnitudes: Mapping[str, Float32]) -> dict[str, Float32]:
        """Features of the next frames.

        Parameters
        ----------
        magnitudes : mapping of str to float32, shape (frame, bin)
            Magnitude of each of `needed_components`.

        Returns
        -------
        dict of str to float32, shape (frame, *Feature.shape)
            By `Feature.name`.

        Raises
        ------
        ParameterError
            If a component that is needed is missing.
        """
        missing = set(self.needed) - set(magnitudes)
        if missing:
            raise ParameterError(f"the magnitude of {', '.join(sorted(missing))} is missing: pass it as well")
        bands: dict[tuple[str, str], Float32] = {}
        for component in self.needed:
            used = [bank for bank in BANKS if _uses(self.params, component, bank)]
            sums = band_sums(magnitudes[component], [getattr(self.banks, bank) for bank in used])
            bands.update({(component, bank): values for bank, values in zip(used, sums, strict=True)})
        return {feature.name: self._feature(feature, bands) for feature in self.wanted}

    def _feature(self, feature: Feature, bands: Mapping[tuple[str, str], Float32]) -> Float32:
        """One feature, of the sums over bands by component and bank."""
        part = feature.component
        if feature.kind == "mel":
            return bands[part, "mel"]
        if feature.kind == "log_mel":
            return decibels(bands[part, "mel"])
        if feature.kind == "chroma":
            return strongest_is_one(bands[part, "chroma"])
        if feature.kind == "onset":
            return self._onsets(decibels(bands[part, "mel"]))
        if feature.kind == "rms":
            return np.sqrt(bands[part, "energy"][:, 0])
        return ratio(bands["harmonic", "energy"][:, 0], bands["percussive", "energy"][:, 0])

    def _onsets(self, log_mel: Float32) -> Float32:
        """Onset strength of the next frames."""
        seen = np.concatenate([self._past, log_mel])
        self._past = seen[max(len(seen) - self.lookback, 0) :]
        return onset_strength(seen, self.delay)[len(seen) - len(log_mel) :]


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
