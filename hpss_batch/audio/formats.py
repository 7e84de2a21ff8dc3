"""Which audio can a format of stems not hold? What libsndfile says too late, or not at all, is said here."""

import math

from hpss_batch.audio.speakers.layouts import SPEAKERS, USUAL, Layout, arrangement, fixed

STEM_RATES: dict[str, tuple[int, ...]] = {
    "OPUS": (8000, 12000, 16000, 24000, 48000),
    "MPEG_LAYER_III": (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000),
}
"""Sample rates [Hz] of the subtypes that do not take every one."""

_LOWEST_IN_TENS = {"FLAC": 2**16}
"""Rates from here on are held in tens of Hz (RFC 9639, 9.1.2)."""

_HIGHEST_RATE = {"VORBIS": 200_000, "FLAC": 655_350}
_MOST_CHANNELS = {"FLAC": 8, "ALAC_16": 8, "MPEG_LAYER_III": 2, "VORBIS": 255, "OPUS": 255}
"""Beyond these libsndfile refuses the file, or (Vorbis) ends the process."""

_BYTES = {"FLOAT": 4, "DOUBLE": 8, "PCM_16": 2, "PCM_24": 3, "PCM_32": 4}
_LIMITED = ("WAV", "AIFF", "AU")
_LARGEST = 2**32 - 2**20
"""Bytes of audio that a file may have whose header counts them in 32 bits."""


def refusal(
    format: str, subtype: str, sample_rate: int, channels: int, n_samples: int, layout: Layout = ()
) -> str | None:
    """Why a format cannot hold audio like this, and what to do; None where it can.

    Parameters
    ----------
    format, subtype : str
        As libsndfile names them; known to go together.
    sample_rate, channels, n_samples : int
        Hz; how many; samples a channel.
    layout : Layout
        The channels' speakers, if they are known.
    """
    name = format if format in _MOST_CHANNELS else subtype
    most, highest, rates = _MOST_CHANNELS.get(name), _HIGHEST_RATE.get(name), STEM_RATES.get(subtype)
    if most is not None and channels > most:
        return (
            f"has {channels} channels, and {name} holds up to {most}: set output.stems.format=wav, or "
            "output.stems.channels=mono"
        )
    if rates is not None and sample_rate not in rates:
        near = next((rate for rate in rates if rate >= sample_rate), rates[-1])
        return (
            f"has {sample_rate} samples a second, and {name} takes {', '.join(map(str, rates))}: set "
            f"output.stems.sample_rate={near}, or another format"
        )
    in_tens = sample_rate >= _LOWEST_IN_TENS.get(name, math.inf) and sample_rate % 10
    if highest is not None and (sample_rate > highest or in_tens):
        takes = f"up to {highest}" if sample_rate > highest else "above 65535 only multiples of 10"
        return (
            f"has {sample_rate} samples a second, and {name} takes {takes}: set "
            "output.stems.format=wav, or output.stems.sample_rate"
        )
    if arrangement(format, subtype, channels, layout) is None:
        return _misplaced(format, subtype, channels, layout)
    n_bytes = n_samples * channels * _BYTES.get(subtype, 1)
    if format in _LIMITED and n_bytes > _LARGEST:
        return (
            f"makes stems of {n_bytes / 2**30:.1f} GiB, and {format} holds less than 4: set "
            "output.stems.format to flac, rf64 or w64"
        )
    return None


def _misplaced(format: str, subtype: str, channels: int, layout: Layout) -> str:
    """Why channels of a layout cannot be told apart in a format."""
    layouts = fixed(format, subtype)
    if layouts is None:
        return (
            f"has channels for {' '.join(layout)}, and {format} names only {' '.join(SPEAKERS)}: set "
            "output.stems.channels=mono"
        )
    mine = f"for {' '.join(layout)}" if layout else f"that players take for {' '.join(USUAL[channels])}"
    theirs = (
        f"takes {channels} for {' '.join(layouts[channels])}" if channels in layouts else "names no so many"
    )
    return (
        f"has channels {mine}, and {subtype} {theirs}: set output.stems.format=wav or flac, or "
        "output.stems.channels=mono"
    )
