"""How close is an estimate to the stem that it should be, and what is the rest: the other stem, or something new?

An estimate ŝ of the stem s, where o is the other stem, is taken apart by orthogonal projections:

    ŝ = target + interference + artifacts
    target        = projection of ŝ on s
    interference  = projection of ŝ on the span of s and o, less target
    artifacts     = the rest

    SI-SDR = |target|² / |interference + artifacts|²       SDR = |s|² / |s − ŝ|²
    SIR    = |target|² / |interference|²                   SAR = |target + interference|² / |artifacts|²

all in dB. This is BSS Eval (Vincent, Gribonval & Févotte, "Performance measurement in blind audio source separation",
IEEE TASLP 14(4), 2006) for instantaneous mixtures: a gain is forgiven, a filter is not; its SDR is what Le Roux,
Wisdom, Erdogan & Hershey ("SDR: half-baked or well done?", ICASSP 2019) define as SI-SDR. SDR without SI forgives
nothing.

All of it follows from inner products of the signals, and inner products of parts of a recording add up: `Gram` is
what is kept of any length of audio.
"""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]

FLOOR = 1e-12
"""Energies below this share of the estimate's are 0: differences of sums cannot tell (−120 dB)."""


@dataclass(frozen=True)
class Ratios:
    """Four ratios of energies [dB], larger is better; inf where nothing is wrong, NaN where the stem is silent.

    Attributes
    ----------
    si_sdr, sdr, sir, sar : float
        See the module.
    """

    si_sdr: float
    sdr: float
    sir: float
    sar: float

    def __sub__(self, other: "Ratios") -> "Ratios":
        """How much better, in dB."""
        with np.errstate(invalid="ignore"):
            return Ratios(
                *(float(np.subtract(a, b)) for a, b in zip(self.values(), other.values(), strict=True))
            )

    def values(self) -> tuple[float, ...]:
        """In the order of `NAMES`."""
        return tuple(getattr(self, name) for name in NAMES)


NAMES = tuple(field.name for field in fields(Ratios))


@dataclass(frozen=True)
class Gram:
    """Inner products of some signals: all that scores need, and additive over parts of a recording.

    Attributes
    ----------
    products : ndarray of float64, shape (signals, signals)
        Entry i, j is the inner product of signals i and j.
    """

    products: Float64

    @classmethod
    def of(cls, signals: NDArray[np.floating]) -> "Gram":
        """Of signals of shape (signals, samples).

        >>> Gram.of(np.array([[1.0, 2.0], [0.0, 1.0]])).products
        array([[5., 2.],
               [2., 1.]])
        """
        wide = np.asarray(signals, np.float64)
        return cls(wide @ wide.T)

    def __add__(self, other: "Gram") -> "Gram":
        return Gram(self.products + other.products)

    def ratios(self, estimate: int, stem: int, other: int) -> Ratios:
        """Score one signal as an estimate of another, in a mixture of that and a third; by their numbers."""
        g = self.products
        energy, wanted = float(g[estimate, estimate]), float(g[stem, stem])
        if wanted <= 0:
            return Ratios(np.nan, np.nan, np.nan, np.nan)
        target = float(g[estimate, stem] ** 2 / wanted)
        onto_both = _projected(g[np.ix_([stem, other], [stem, other])], g[[stem, other], estimate])
        difference = wanted - 2 * float(g[estimate, stem]) + energy
        floor = FLOOR * energy
        return Ratios(
            _decibel(target, energy - target, floor),
            _decibel(wanted, difference, floor),
            _decibel(target, onto_both - target, floor),
            _decibel(onto_both, energy - onto_both, floor),
        )


def median(scores: list[Ratios]) -> Ratios:
    """Median of each ratio over recordings; those of silent stems do not count.

    >>> median([Ratios(1, 2, 3, 4), Ratios(2, 3, 4, 5), Ratios(9, 9, 9, np.nan)])
    Ratios(si_sdr=2.0, sdr=3.0, sir=4.0, sar=4.5)
    """
    found = []
    for name in NAMES:
        values = [value for score in scores if not np.isnan(value := getattr(score, name))]
        found.append(float(np.median(values)) if values else np.nan)
    return Ratios(*found)


def _projected(stems: Float64, products: Float64) -> float:
    """Energy of a signal's projection on the span of stems, from their Gram matrix and its products with them."""
    scale = np.sqrt(np.diag(stems))
    there = scale > 0
    unit = scale[there]
    onto = products[there] / unit
    # stems that are copies of each other span one dimension: the pseudo-inverse knows
    return float(
        onto @ np.linalg.pinv(stems[np.ix_(there, there)] / np.outer(unit, unit), hermitian=True) @ onto
    )


def _decibel(wanted: float, rest: float, floor: float) -> float:
    if rest <= floor:
        return np.inf if wanted > floor else np.nan
    return float(10 * np.log10(wanted / rest)) if wanted > 0 else -np.inf
