"""How well are recordings separated whose stems are known, beside doing nothing and beside the best that a mask can do?

A case is three recordings of the same length: its harmonic stem, its percussive stem, and their mixture (their sum,
where there is no file). For each stem three estimates are scored (see `scores`):

`mixture`    the mixture itself: where separation begins
`separated`  what hpss_batch makes of the mixture: spectrogram × mask, back to audio
`ideal`      mixture × ideal ratio mask |s|² / (|s|² + |o|²), which needs to know the stems: where any mask ends

A case is taken in blocks of some seconds, each with the context that its frames and medians need, so that memory
does not grow with its length; the result does not depend on the blocks.
"""

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from hpss_batch.audio.recording import Recording
from hpss_batch.config.job import Job
from hpss_batch.dsp.hpss import masks
from hpss_batch.dsp.kernels.magnitude import joint_magnitude
from hpss_batch.dsp.methods import HpssParams
from hpss_batch.dsp.separation import Grid, separation
from hpss_batch.dsp.stft import context, istft_samples, stft_frames
from hpss_batch.errors import AudioError, CorpusError, ParameterError
from hpss_batch.products.evaluation.result import ESTIMATES, Comparison, Evaluation, Score, Settings
from hpss_batch.products.evaluation.scores import Gram, Ratios
from hpss_batch.products.evaluation.truth import PATTERN, SOURCES, KnownStems, find_stems

Float32 = NDArray[np.float32]
Complex64 = NDArray[np.complex64]


BLOCK_SAMPLES = 1 << 19
"""Samples that are taken at once."""


def check_overrides(overrides: Iterable[str]) -> None:
    """Raise `ParameterError` if one of "KEY=VALUE" sets a key of the job that evaluation makes no use of."""
    used = ("stft", "hpss", "corpus.sample_rate", "corpus.channels")
    for override in overrides:
        key = override.partition("=")[0].strip()
        if not any(key == name or key.startswith(f"{name}.") for name in used):
            raise ParameterError(
                f"--set {override}: evaluation makes no use of {key}; allowed: stft.…, hpss.…, "
                "corpus.sample_rate, corpus.channels"
            )


Truth = str | os.PathLike[str] | KnownStems


def evaluate(
    truth: Truth | Iterable[Truth],
    settings: Settings | Job | str | None = None,
    *,
    pattern: str = PATTERN,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Score separation against known stems.

    Parameters
    ----------
    truth : path, KnownStems, or iterable of them
        Folders that hold a folder of stems for each recording, such as ``truth/song/harmonic.flac`` and
        ``truth/song/percussive.flac``; or recordings with their stems.
    settings : Settings, Job or str, optional
        What is evaluated: of a job its stft, hpss and, where given, rate and channels; or a method's name.
    pattern : str
        Names of stems below a folder; see `find_stems`.
    progress : callable, optional
        Called with the number of recordings scored so far, and of those to score.

    Returns
    -------
    Evaluation

    Raises
    ------
    CorpusError
        If there are no stems, or no recording has both.
    AudioError
        If none can be scored: stems cannot be read, or differ in length, rate or channels.
    """
    (found,) = compare(
        truth, {"separated": settings}, pattern=pattern, progress=progress
    ).evaluations.values()
    return found


def compare(
    truth: Truth | Iterable[Truth],
    methods: Iterable[str] | Mapping[str, Settings | Job | str | None],
    *,
    pattern: str = PATTERN,
    progress: Callable[[int, int], None] | None = None,
) -> Comparison:
    """Score several methods against the same known stems, which are read once for each transform.

    Parameters
    ----------
    truth, pattern, progress
        See `evaluate`.
    methods : iterable of str, or mapping of str to Settings, Job or str
        Names of methods; or whatever `evaluate` takes, under names of your own. The first is what the others are
        compared with.

    Returns
    -------
    Comparison
        A recording that fails with one method counts for none.

    Raises
    ------
    CorpusError, AudioError
        See `evaluate`.
    ParameterError
        If there is no method of a name, or none at all.
    """
    named = methods if isinstance(methods, Mapping) else {name: name for name in methods}
    chosen = {name: Settings.of(one) for name, one in named.items()}
    if not chosen:
        raise ParameterError("there is no method to score; give one or more")
    alike = defaultdict[Settings, list[Settings]](list)
    for one in dict.fromkeys(chosen.values()):
        alike[replace(one, hpss=HpssParams())].append(one)
    known, failed = _find([truth] if isinstance(truth, str | os.PathLike | KnownStems) else truth, pattern)
    scores = defaultdict[Settings, list[Score]](list)
    for done, recording in enumerate(known, 1):
        try:
            found = [pair for group in alike.values() for pair in score(recording, group).items()]
        except AudioError as error:
            failed[recording.track] = str(error)
        else:
            for one, its_score in found:
                scores[one].append(its_score)
        if progress is not None:
            progress(done, len(known))
    if not scores:
        raise AudioError("; ".join(f"{track}: {why}" for track, why in failed.items()))
    return Comparison({name: Evaluation(one, tuple(scores[one]), failed) for name, one in chosen.items()})


def _find(truth: Iterable[Truth], pattern: str) -> tuple[list[KnownStems], dict[str, str]]:
    """All recordings with known stems, and why others have none."""
    known, failed = list[KnownStems](), dict[str, str]()
    for one in truth:
        found, lacking = ([one], {}) if isinstance(one, KnownStems) else find_stems([one], pattern)
        known += found
        failed |= lacking
    if not known:
        raise CorpusError("; ".join(f"{track} {why}" for track, why in failed.items()))
    return known, failed


def score(recording: KnownStems, alike: Sequence[Settings]) -> dict[Settings, Score]:
    """Score one recording with settings that differ in `hpss` alone, in memory that does not grow with its length."""
    with ExitStack() as stack:
        stems = _Stems(recording, alike[0], stack)
        grams = [Gram(np.zeros((7, 7)))] * len(alike)
        for start in range(0, stems.n_samples, BLOCK_SAMPLES):
            for block in _blocks(stems, alike, start, min(start + BLOCK_SAMPLES, stems.n_samples)):
                grams = [gram + part for gram, part in zip(grams, block, strict=True)]
        seconds = stems.n_samples / stems.sample_rate
    return {
        settings: Score(recording.track, seconds, _ratios(gram))
        for settings, gram in zip(alike, grams, strict=True)
    }


def _ratios(gram: Gram) -> dict[tuple[str, str], Ratios]:
    return {
        (component, estimate): gram.ratios(_SIGNALS[component, estimate], stem=i, other=1 - i)
        for i, component in enumerate(SOURCES)
        for estimate in ESTIMATES
    }


_SIGNALS = {
    ("harmonic", "mixture"): 2,
    ("percussive", "mixture"): 2,
    ("harmonic", "separated"): 3,
    ("percussive", "separated"): 4,
    ("harmonic", "ideal"): 5,
    ("percussive", "ideal"): 6,
}
"""Where the estimates stand among the signals of a block; 0 and 1 are the stems."""


class _Stems:
    """The three signals of a recording, by samples."""

    def __init__(self, recording: KnownStems, settings: Settings, stack: ExitStack) -> None:
        self.recordings = [
            stack.enter_context(Recording(path, sample_rate=settings.sample_rate, channels=settings.channels))
            for path in (recording.harmonic, recording.percussive, recording.mixture)
            if path is not None
        ]
        found = [(_length(r), r.sample_rate, r.channels) for r in self.recordings]
        if len(set(found)) > 1:
            words = "; ".join(f"{n} samples at {rate} Hz, {c} channels" for n, rate, c in found)
            raise AudioError(f"its stems differ, {words}: cut them to the same length, rate and channels")
        self.n_samples, self.sample_rate, self.channels = found[0]

    def read(self, start: int, stop: int) -> Float32:
        """Harmonic, percussive and mixture, shape (3, channels, samples)."""
        read = [recording.read(start, stop) for recording in self.recordings]
        return np.stack(read if len(read) == 3 else [*read, read[0] + read[1]])


def _length(recording: Recording) -> int:
    """The true length in samples: that of what decoding yields."""
    at = 0
    while (n := recording.read(at, at + BLOCK_SAMPLES).shape[1]) and recording.n_samples is None:
        at += n
    return recording.bound if recording.n_samples is None else recording.n_samples


def _blocks(stems: _Stems, alike: Sequence[Settings], start: int, stop: int) -> Iterator[list[Gram]]:
    """Inner products of the samples from start to stop for each of the settings, a channel at a time."""
    stft, n_samples = alike[0].stft, stems.n_samples
    n_frames = stft.n_frames(n_samples)
    first, last = stft.frame_span(start, stop, n_frames)
    ways = [separation(settings.hpss, Grid.of(stft, stems.sample_rate)) for settings in alike]
    halo = max(how.halo for how in ways)
    begin, end = max(first - halo, 0), min(last + halo, n_frames)
    low, high = stft.sample_span(begin, end)
    low, high = max(min(low, start) - context(stft), 0), min(max(high, stop) + context(stft), n_samples)
    samples = np.ascontiguousarray(stems.read(low, high).swapaxes(0, 1))
    mixtures = [stft_frames(held[2], low, n_samples, begin, end, stft) for held in samples]
    magnitudes = [np.abs(mixture) for mixture in mixtures]
    joint = joint_magnitude(magnitudes) if any(how.joint for how in ways) else magnitudes[0]
    for held, wide, magnitude in zip(samples, mixtures, magnitudes, strict=True):
        mixture = wide[first - begin : last - begin]
        powers = [np.abs(stft_frames(stem, low, n_samples, first, last, stft)) ** 2 for stem in held[:2]]
        weights = [
            masks(joint if how.joint else magnitude, how, start=first - begin, stop=last - begin)
            for how in ways
        ]
        *separated, ideal = [
            [istft_samples(mixture * weight, first, n_frames, start, stop, stft) for weight in both]
            for both in (*weights, _ideal(*powers))
        ]
        known = held[:, start - low : stop - low]
        yield [Gram.of(np.stack([*known, *both, *ideal])) for both in separated]


def _ideal(harmonic: Float32, percussive: Float32) -> tuple[Float32, Float32]:
    """Ideal ratio masks of two powers; a half each where both are silent."""
    total = harmonic + percussive
    silent = total <= 0
    mask = np.where(silent, np.float32(0.5), harmonic / np.where(silent, np.float32(1), total))
    return mask, 1 - mask
