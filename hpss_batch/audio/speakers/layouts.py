"""Which of a recording's channels is which speaker, and where does a format want it?

A layout names the speaker of each channel, in the order of the samples: ("FL", "FR", "LFE") for 2.1. It is empty where
a file says nothing, and where there are two channels or fewer, of which every format thinks alike.

    WAV, RF64, W64, AIFF, CAF, FLAC    any speakers of `SPEAKERS`, in that order, by a mask in the header
    Vorbis, Opus, ALAC                 one layout for each number of channels, and in an order of its own
    AU                                 none; the order is kept that the others have

So stems of 5.1 in Ogg have their channels in another order than in WAV, or every player would take one for another.
What says nothing of its speakers is taken, where the format leaves no choice, for what players take it for (RFC 9639,
9.1.3).
"""

from collections.abc import Mapping
from dataclasses import dataclass

Layout = tuple[str, ...]

_BITS = "FL FR FC LFE BL BR FLC FRC BC SL SR TC TFL TFC TFR TBL TBC TBR"
SPEAKERS: Layout = tuple(_BITS.split())
"""The bits of a mask, the lowest first (WAVEFORMATEXTENSIBLE), in FFmpeg's words."""


def _by_number(*layouts: str) -> dict[int, Layout]:
    return {len(names): tuple(names) for names in map(str.split, layouts)}


USUAL: Mapping[int, Layout] = _by_number(
    "FL FR FC",
    "FL FR BL BR",
    "FL FR FC SL SR",
    "FL FR FC LFE SL SR",
    "FL FR FC LFE BC SL SR",
    "FL FR FC LFE BL BR SL SR",
)
"""What channels are where nothing is said, by their number: RFC 9639, 9.1.3, with its "back/surround" at the sides."""

VORBIS: Mapping[int, Layout] = _by_number(
    "FL FC FR",
    "FL FR BL BR",
    "FL FC FR BL BR",
    "FL FC FR BL BR LFE",
    "FL FC FR SL SR BC LFE",
    "FL FC FR SL SR BL BR LFE",
)
"""Vorbis I, 4.3.9; Opus has the same (RFC 7845, 5.1.1.2)."""

ALAC: Mapping[int, Layout] = _by_number(
    "FC FL FR",
    "FC FL FR BC",
    "FC FL FR BL BR",
    "FC FL FR BL BR LFE",
    "FC FL FR BL BR BC LFE",
    "FC FLC FRC FL FR BL BR LFE",
)
"""The channel layout tags of Apple's ALACAudioTypes.h."""


def fixed(format: str, subtype: str) -> Mapping[int, Layout] | None:
    """The layouts of a coding that has one for each number of channels; None of one that leaves it to the header."""
    return VORBIS if format == "OGG" else ALAC if subtype.startswith("ALAC") else None


def from_mask(mask: int, channels: int) -> Layout:
    """The layout of a mask, empty where that does not name as many speakers as there are channels."""
    found = tuple(name for bit, name in enumerate(SPEAKERS) if mask >> bit & 1)
    return known(found, channels) if mask < 1 << len(SPEAKERS) else ()


def known(layout: Layout, channels: int) -> Layout:
    """A layout if it can be relied on: of so many channels, more than two, each another speaker; else an empty one."""
    plain = len(layout) == channels > 2 and len(set(layout)) == channels
    return (
        layout if plain and not {"NONE", "UNK", "UNSD"} & set(layout) else ()
    )  # FFmpeg's words for "no speaker"


@dataclass(frozen=True)
class Arrangement:
    """How a file has the channels of a recording.

    Attributes
    ----------
    order : tuple of int or None
        For each channel of the file, the recording's; None where they are the same.
    mask : int
        The speakers that the file's header should name; 0 for none.
    """

    order: tuple[int, ...] | None = None
    mask: int = 0


def arrangement(format: str, subtype: str, channels: int, layout: Layout) -> Arrangement | None:
    """How a format has channels of a layout; None where it would take them for others.

    Parameters
    ----------
    format, subtype : str
        As libsndfile names them.
    channels : int
        How many there are.
    layout : Layout
        Theirs, if it is known.
    """
    layouts = fixed(format, subtype)
    if channels <= 2 or (not layout and (layouts is None or channels not in layouts)):
        return Arrangement()
    if layouts is not None:
        mine, theirs = _folded(layout or USUAL[channels]), _folded(layouts.get(channels, ()))
    elif set(layout) <= set(SPEAKERS):
        mine, theirs = layout, tuple(sorted(layout, key=SPEAKERS.index))
    else:
        return None
    if set(mine) != set(theirs):
        return None
    order = tuple(mine.index(name) for name in theirs)
    mask = 0 if layouts is not None else sum(1 << SPEAKERS.index(name) for name in layout)
    return Arrangement(None if order == tuple(range(channels)) else order, mask)


def _folded(layout: Layout) -> Layout:
    """A layout whose one pair behind the listener is at the back: 5.1 may have it there or at the sides."""
    if {"BL", "BR"} & set(layout):
        return layout
    return tuple({"SL": "BL", "SR": "BR"}.get(name, name) for name in layout)
