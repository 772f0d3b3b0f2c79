"""Histograms as PNG, which every mail client shows."""

import io
import math
import threading
from itertools import pairwise
from typing import Any

from mlops_ray.alerting.evidence import Histogram

__all__ = ["picture"]

_DRAWING = threading.Lock()  # matplotlib's fonts and caches are shared
_INCHES = (5.2, 2.1)
_DPI = 110
_REFERENCE, _WINDOW = "#8f9aa6", "#d1495b"
_MOST_LABELS = 10
_MANY_BINS = 8


def picture(histogram: Histogram) -> bytes:
    """A PNG of about 570 x 230 pixels: the reference filled and the window as a line, or bars beside each other."""
    # matplotlib: a second to import, in the actor only when an e-mail has a picture
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with _DRAWING:
        figure = Figure(figsize=_INCHES, dpi=_DPI, layout="constrained")
        FigureCanvasAgg(figure)
        axes: Any = figure.add_subplot()
        if histogram.edges and all(map(math.isfinite, histogram.edges)):
            _densities(axes, histogram)
        else:
            _shares(axes, histogram)
        axes.set_title(_plain(histogram.feature), fontsize=9, loc="left")
        axes.tick_params(labelsize=7)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(fontsize=7, frameon=False)
        file = io.BytesIO()
        figure.savefig(file, format="png")
    return file.getvalue()


def _densities(axes: Any, histogram: Histogram) -> None:
    widths = [b - a for a, b in pairwise(histogram.edges)]
    reference = [share / width for share, width in zip(histogram.reference, widths, strict=True)]
    window = [share / width for share, width in zip(histogram.window, widths, strict=True)]
    axes.stairs(reference, histogram.edges, fill=True, color=_REFERENCE, alpha=0.6, label="reference")
    axes.stairs(window, histogram.edges, color=_WINDOW, linewidth=1.6, label="window")
    axes.set_ylabel("density", fontsize=7)
    if len(widths) >= _MANY_BINS:
        # One far value would press everything else into a corner.
        _, low, *_, high, _ = histogram.edges
        beside = (high - low) / 4
        axes.set_xlim(max(histogram.edges[0], low - beside), min(histogram.edges[-1], high + beside))


def _shares(axes: Any, histogram: Histogram) -> None:
    places = list(range(len(histogram.labels)))
    axes.bar([p - 0.2 for p in places], histogram.reference, 0.4, color=_REFERENCE, label="reference")
    axes.bar([p + 0.2 for p in places], histogram.window, 0.4, color=_WINDOW, label="window")
    shown = places[:: max(1, -(-len(places) // _MOST_LABELS))]
    axes.set_xticks(shown, [_plain(histogram.labels[p], 14) for p in shown], rotation=20, ha="right")
    axes.set_ylabel("share", fontsize=7)


def _plain(text: str, most: int = 60) -> str:
    """Without what matplotlib takes for a formula."""
    return (text if len(text) <= most else text[: most - 3] + "...").replace("$", r"\$")
