"""What does a component sound like, frame by frame, in a few numbers?

Every feature begins as sums over the bins of a frame's power, which `filterbanks` makes: mel bands, chroma, energy.
What is made of them, `TABLE` says: of one frame alone, save for onsets, which look back. `FrameFeatures` passes along a
track and holds what they need. So a frame's bits depend on no other frames than these, nor on the features asked for.

Values equal librosa's of the same component to 1e-4, with ``top_db=None``, ``tuning=0`` and a reference of 1:
librosa's defaults for these depend on the whole of what is passed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hpss_batch.dsp.filterbanks import FilterBanks, Float32, band_sums
from hpss_batch.dsp.params import COMPONENTS, FeatureParams, StftParams
from hpss_batch.errors import ParameterError

ONSET_LAG = 1
LEAST_POWER = np.float32(1e-10)


@dataclass(frozen=True)
class Kind:
    """A kind of feature: what there is to know of it, and how it is computed.

    Attributes
    ----------
    components : tuple of str
        The components that it is made of; empty if there is one feature of each component that is asked for.
    bank : str
        The filter bank whose sums it is made of: "mel", "chroma" or "energy" (see `FilterBanks`).
    function : callable
        Makes values of the next frames, float32 of shape (frame, …), from the sums of each of `components`, of shape
        (frame, band). Each frame's bits may depend on that frame alone, or on `lag`.
    units, long_name : str
        For CF attributes; {} in the name stands for the component.
    dims : tuple of str
        Its dimensions beyond the frame: ("mel",), ("chroma",), or none.
    span : tuple of float, optional
        The least and the greatest value that a store keeps, in a byte: values beyond them are stored as these, values
        between them as the nearest of 255, in steps of a 254th of the span. By default, values are stored as they are,
        in float32. Values that are not finite are never stored.
    lag : int
        Frames that one looks back on, beyond the delay that makes up for the window (see `onset_strength`). With a
        lag, the function gets the sums of earlier frames as well, and the delay after them.
    """

    components: tuple[str, ...]
    bank: str
    function: Callable[..., Float32]
    units: str
    long_name: str
    dims: tuple[str, ...] = ()
    span: tuple[float, float] | None = None
    lag: int = 0


TABLE = {
    "mel": Kind((), "mel", lambda mel: mel, "1", "power in mel bands, of the {} component", ("mel",)),
    "log_mel": Kind(
        (), "mel", lambda mel: decibels(mel), "dB",
        "power in mel bands, relative to 1, of the {} component", ("mel",)
    ),
    "chroma": Kind(
        ("harmonic",), "chroma", lambda chroma: strongest_is_one(chroma), "1",
        "energy by pitch class, of the harmonic component, relative to the strongest", ("chroma",)
    ),
    "onset": Kind(
        ("percussive",), "mel", lambda mel, delay: onset_strength(decibels(mel), delay), "dB",
        "onset strength of the percussive component: mean rise over the mel bands", lag=ONSET_LAG
    ),
    "rms": Kind((), "energy", lambda energy: np.sqrt(energy[:, 0]), "1", "RMS, of the {} component"),
    "harmonic_ratio": Kind(
        ("harmonic", "percussive"), "energy", lambda *energies: ratio(*(of[:, 0] for of in energies)), "1",
        "energy of the harmonic component, relative to harmonic and percussive"
    ),
}  # fmt: skip
"""All kinds, by the names that `FeatureParams` allows."""


@dataclass(frozen=True)
class Feature:
    """One feature, as a store has it: a kind of it, of one component or of several.

    Attributes
    ----------
    name : str
        The kind, and the component where there may be several or the dimension has the kind's name.
    kind : str
        One of `TABLE`.
    components : tuple of str
        Those that it is made of.
    dims : tuple of str
        Its dimensions beyond the frame.
    shape : tuple of int
        Their sizes.
    units, long_name, span
        As `Kind` has them.
    """

    name: str
    kind: str
    components: tuple[str, ...]
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    units: str
    long_name: str
    span: tuple[float, float] | None = None


def list_features(params: FeatureParams) -> tuple[Feature, ...]:
    """The features that `FrameFeatures` computes, in its order."""
    sizes, found = {"mel": params.n_mels, "chroma": params.n_chroma}, list[Feature]()
    for name in params.kinds:
        kind = TABLE[name]
        for parts in [kind.components] if kind.components else [(part,) for part in params.components]:
            # "chroma_harmonic", not "chroma", which is what its bands are called
            full = f"{name}_{parts[0]}" if not kind.components or name in kind.dims else name
            said, shape = kind.long_name.format(*parts), tuple(sizes[dim] for dim in kind.dims)
            found.append(Feature(full, name, parts, kind.dims, shape, kind.units, said, kind.span))
    return tuple(found)


def needed_components(params: FeatureParams) -> tuple[str, ...]:
    """Components whose magnitude `FrameFeatures` needs."""
    needed = {part for feature in list_features(params) for part in feature.components}
    return tuple(component for component in COMPONENTS if component in needed)


def empty_bands(params: FeatureParams, banks: FilterBanks) -> int:
    """How many mel bands lie between two bins, so that nothing falls into them; 0 if none are wanted."""
    if all(TABLE[kind].bank != "mel" for kind in params.kinds):
        return 0
    return int((abs(banks.mel).sum(axis=1) == 0).sum())


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
        self.banks, self.wanted, self.needed = banks, list_features(params), needed_components(params)
        self._used = {
            part: sorted({TABLE[feature.kind].bank for feature in self.wanted if part in feature.components})
            for part in self.needed
        }
        # frames from a centred window's first look at an onset to its own time
        self.delay = stft.n_fft // (2 * stft.hop_length) if stft.center else 0
        lag = max((TABLE[feature.kind].lag for feature in self.wanted), default=0)
        self.lookback = lag + self.delay if lag else 0
        self._past = dict[str, list[Float32]]()

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
        sums = dict[tuple[str, str], Float32]()
        for part, used in self._used.items():
            found = band_sums(magnitudes[part], [getattr(self.banks, bank) for bank in used])
            sums |= {(part, bank): values for bank, values in zip(used, found, strict=True)}
        return {feature.name: self._feature(feature, sums) for feature in self.wanted}

    def _feature(self, feature: Feature, sums: Mapping[tuple[str, str], Float32]) -> Float32:
        """One feature of the next frames, from sums by component and bank."""
        kind = TABLE[feature.kind]
        own = [sums[part, kind.bank] for part in feature.components]
        if not kind.lag:
            return kind.function(*own)
        past = self._past.get(feature.name, [values[:0] for values in own])
        seen = [np.concatenate(both) for both in zip(past, own, strict=True)]
        passed = len(seen[0]) - len(own[0])
        self._past[feature.name] = [values[max(len(values) - self.lookback, 0) :] for values in seen]
        return kind.function(*seen, self.delay)[passed:]


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
