"""The curves of benchmarks/electricity.py."""

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.electricity_loop import LoopResult
from benchmarks.electricity_stream import DAY_ROWS

__all__ = ["draw"]

_COLOURS = {"loop": "#1f5fa8", "schedule": "#d9822b", "frozen": "#9aa0a6"}
_SMOOTHED_DAYS = 28


def draw(results: Mapping[str, LoopResult], steady: LoopResult, *, begin: int) -> bytes:
    """A PNG: accuracy of each strategy over a moving month, and when the loop trained; below, the calm stream."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 6.2), dpi=110, layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    for name in ("frozen", "schedule", "loop"):
        result = results[name]
        label = f"{name}: {result.accuracy:.1%} of all answers, {len(result.retrained_at)} retrainings"
        days, accuracy = _moving(result.wrong, begin)
        above.plot(days, accuracy, color=_COLOURS[name], linewidth=1.6 if name == "loop" else 1.1, label=label)
    _dates(above, results["loop"])
    above.set(title="Electricity, in time order, labels a day late", ylabel=f"accuracy over {_SMOOTHED_DAYS} days")
    days, accuracy = _moving(steady.wrong, begin)
    label = f"loop: {steady.accuracy:.1%}, {len(steady.retrained_at)} retrainings"
    below.plot(days, accuracy, color=_COLOURS["loop"], linewidth=1.4, label=label)
    _dates(below, steady)
    below.set(
        title="The same rows shuffled, with two features that wander away and mean nothing",
        xlabel="days since the first row",
        ylabel=f"accuracy over {_SMOOTHED_DAYS} days",
    )
    for axes in (above, below):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="#e6e8eb", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.set_ylim(0.4, 1.0)
        axes.legend(frameon=False, loc="lower left", fontsize=9)
    content = io.BytesIO()
    figure.savefig(content, format="png", metadata={"Software": None})
    return content.getvalue()


def _moving(wrong: NDArray[np.bool_], begin: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    width = _SMOOTHED_DAYS * DAY_ROWS
    sums = np.concatenate([[0.0], np.cumsum(~wrong)])
    width = min(width, len(wrong))
    ends = np.arange(width, len(wrong) + 1, DAY_ROWS // 2)
    return (begin + ends) / DAY_ROWS, (sums[ends] - sums[ends - width]) / width


def _dates(axes: Any, result: LoopResult) -> None:
    for i, row in enumerate(result.retrained_at):
        label = "the loop retrains" if i == 0 else None
        axes.axvline(row / DAY_ROWS, color="#c0392b", linewidth=0.8, alpha=0.6, linestyle=":", label=label)
