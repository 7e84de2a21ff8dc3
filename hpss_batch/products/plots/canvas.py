"""How do spectrograms stand on a page? Panels below each other that share their axes, one scale of colours, few words.

matplotlib is imported here only, and only when something is drawn; no window, no pyplot, no state outside the figure.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hpss_batch.errors import HpssBatchError
from hpss_batch.products.raster import levels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Image = NDArray[np.float64]

TITLES = {"full": "Full", "harmonic": "Harmonic", "percussive": "Percussive", "residual": "Residual"}
INK, GREY = "#1f1d2b", "#7a7785"
TICKS = (20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000)
STEPS = (1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1200, 1800, 3600)
"""Seconds from tick to tick that people can read."""

WIDTH, PANEL_HEIGHT, MARGINS = 11.0, 2.15, 1.25
"""Inches."""


class Canvas:
    """The axes that all panels share.

    Attributes
    ----------
    times : pair of float
        Left and right end [s, or frames].
    frequencies : pair of float
        Lower and upper end of the logarithmic axis [Hz, or bins].
    in_seconds, in_hertz : bool
        Their units.
    """

    def __init__(
        self, times: tuple[float, float], frequencies: tuple[float, float], in_seconds: bool, in_hertz: bool
    ) -> None:
        self.times, self.frequencies = times, frequencies
        self.in_seconds, self.in_hertz = in_seconds, in_hertz

    def spectrograms(
        self,
        power: Mapping[str, Image],
        energies: Mapping[str, float],
        dynamic_range: float,
        title: str,
        subtitle: str,
    ) -> "Figure":
        """Panels in dB relative to the maximum of ``power["full"]``; what is below the range is not drawn at all.

        Parameters
        ----------
        power : mapping of ndarray, shape (rows, columns)
            Pictures, the lowest band first.
        energies : mapping of float
            Of each, to say next to its name.
        dynamic_range : float
            dB from the brightest to the darkest colour.
        title, subtitle : str
            Above all panels.
        """
        shown = {
            name: image
            for name, image in levels(power).items()
            if name != "residual" or image.max() > -dynamic_range
        }
        notes = {name: _share(energies[name], energies["full"]) for name in shown if name != "full"}
        colours = {"vmin": -dynamic_range, "vmax": 0.0, "cmap": "magma"}
        return self._figure(
            shown, notes, colours, "dB relative to the maximum of the full spectrogram", title, subtitle
        )

    def masks(self, weights: Mapping[str, Image], title: str, subtitle: str) -> "Figure":
        """Panels of weights from 0 to 1."""
        named = {f"{name}_mask": image for name, image in weights.items()}
        return self._figure(named, {}, {"vmin": 0.0, "vmax": 1.0, "cmap": "magma"}, "weight", title, subtitle)

    def _figure(
        self,
        panels: Mapping[str, Image],
        notes: Mapping[str, str],
        colours: Mapping[str, Any],
        scale: str,
        title: str,
        subtitle: str,
    ) -> "Figure":
        figure, axes = _empty(len(panels))
        for ax, (name, image) in zip(axes, panels.items(), strict=True):
            extent = (*self.times, *np.log2(self.frequencies))
            picture = ax.imshow(
                image, origin="lower", aspect="auto", extent=extent, interpolation="antialiased", **colours
            )
            ax.set_title(_name(name), loc="left", fontsize=12, fontweight="bold", color=INK, pad=5)
            ax.set_title(notes.get(name, ""), loc="right", fontsize=10, color=GREY, pad=5)
            self._frequency_axis(ax)
        self._time_axis(axes[-1])
        figure.supylabel("frequency [Hz]" if self.in_hertz else "bin", color=GREY, fontsize=10)
        bar = figure.colorbar(picture, ax=axes, aspect=14 * len(axes), pad=0.012, fraction=0.03)
        bar.set_label(scale, color=GREY, fontsize=10)
        bar.ax.tick_params(labelsize=10, colors=GREY, length=3)
        bar.outline.set_visible(False)
        _headings(figure, title, subtitle)
        return figure

    def _frequency_axis(self, ax: "Axes") -> None:
        from matplotlib.ticker import FixedLocator, NullLocator

        low, high = self.frequencies
        ticks = [f for f in TICKS if low <= f <= high * 1.02]
        ax.yaxis.set_major_locator(FixedLocator(list(np.log2(ticks))))
        ax.yaxis.set_minor_locator(NullLocator())
        ax.set_yticklabels([f"{f / 1000:g}k" if f >= 1000 else f"{f:g}" for f in ticks])

    def _time_axis(self, ax: "Axes") -> None:
        from matplotlib.ticker import FuncFormatter, MultipleLocator

        start, stop = self.times
        in_minutes = self.in_seconds and stop >= 60
        if in_minutes:
            step = next((s for s in STEPS if (stop - start) / s <= 11), 7200)
            ax.xaxis.set_major_locator(MultipleLocator(step))
            ax.xaxis.set_major_formatter(FuncFormatter(lambda seconds, _: _clock(seconds)))
        unit = "time [min:s]" if in_minutes else "time [s]"
        ax.set_xlabel(unit if self.in_seconds else "frame", color=GREY, fontsize=10)


def _empty(n_panels: int) -> tuple["Figure", list["Axes"]]:
    """A figure of panels that share their axes, without frames around them."""
    try:
        from matplotlib.layout_engine import ConstrainedLayoutEngine

        from hpss_batch.products.plots.figure import Picture
    except ModuleNotFoundError as error:
        raise HpssBatchError(
            "pictures need matplotlib, which is not installed: pip install 'hpss-batch[plot]'"
        ) from error
    size = (WIDTH, MARGINS + PANEL_HEIGHT * n_panels)
    figure = Picture(figsize=size, dpi=150, layout=ConstrainedLayoutEngine(h_pad=0.07, w_pad=0.07))
    axes = figure.subplots(n_panels, 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for ax in axes:
        ax.tick_params(labelsize=10, colors=GREY, length=3, labelbottom=ax is axes[-1])
        ax.spines[:].set_visible(False)
    return figure, list(axes)


def _headings(figure: "Figure", title: str, subtitle: str) -> None:
    figure.suptitle(_literal(title), x=0.012, ha="left", fontsize=16, fontweight="bold", color=INK)
    if subtitle:
        figure.text(0.988, 0.985, subtitle, ha="right", va="top", fontsize=10, color=GREY)


def _name(name: str) -> str:
    return TITLES.get(name, name.replace("_", " ").capitalize())


def _share(energy: float, full: float) -> str:
    """Energy of a part, in dB of the whole's.

    >>> _share(0.5, 1.0), _share(0.0, 1.0)
    ('energy −3.0 dB', 'silent')
    """
    if energy <= 0 or full <= 0:
        return "silent"
    return f"energy {10 * np.log10(energy / full):+.1f} dB".replace("-", "\N{MINUS SIGN}")


def _clock(seconds: float) -> str:
    """Minutes and seconds, and hours where there are any.

    >>> _clock(75), _clock(3675)
    ('1:15', '1:01:15')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _literal(text: str) -> str:
    """A name from a file system, of which matplotlib takes nothing for mathematics and nothing cannot be drawn."""
    printable = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return printable.replace("$", r"\$")
