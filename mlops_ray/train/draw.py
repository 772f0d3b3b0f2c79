"""Drawing the numbers of a plot; knows matplotlib, and nothing of a training."""

import io
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

__all__ = ["DRAWINGS"]

Numbers = Mapping[str, Any]

_BLUE, _ORANGE, _GREY = "#1f5fa8", "#d9822b", "#9aa0a6"
_MOST_FEATURES = 25
_MOST_TICKS = 8
_MOST_NUMBERED = 15  # classes whose counts are written into a confusion matrix


def _png(draw: Callable[[Any, Numbers], None], size: tuple[float, float] = (7.0, 4.5)) -> Callable[[Numbers], bytes]:
    """A drawing on the axes of a figure of its own: pyplot has a state that belongs to whoever runs us."""

    def drawn(numbers: Numbers) -> bytes:
        # here: half a second to import, and only the end of a training draws
        from matplotlib.figure import Figure

        figure = Figure(figsize=size, dpi=110, layout="constrained")
        axes = figure.add_subplot()
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="#e6e8eb", linewidth=0.6)
        axes.set_axisbelow(True)
        draw(axes, numbers)
        content = io.BytesIO()
        figure.savefig(content, format="png", metadata={"Software": None})
        return content.getvalue()

    return drawn


def _learning_curves(axes: Any, numbers: Numbers) -> None:
    completed = [t for t in numbers["trials"] if t["outcome"] == "completed"]
    for trial in numbers["trials"]:
        points = np.array(trial["points"], dtype=np.float64).reshape(-1, 2)
        done = trial["outcome"] == "completed"
        axes.plot(
            points[:, 0],
            points[:, 1],
            color=_BLUE if done else _GREY,
            alpha=0.9 if done and len(completed) <= 8 else 0.5,
            linewidth=1.3 if done else 0.9,
            marker="." if len(points) < 40 else None,
            markersize=4,
            zorder=3 if done else 2,
        )
    axes.plot([], [], color=_BLUE, label=f"completed ({len(completed)})")
    axes.plot([], [], color=_GREY, label=f"ended early or failed ({len(numbers['trials']) - len(completed)})")
    axes.legend(frameon=False)
    axes.set(
        title="Learning curves of the trials", xlabel="iteration", ylabel=f"{numbers['metric']} on validation rows"
    )


def _importance(axes: Any, numbers: Numbers) -> None:
    names, values = numbers["features"][:_MOST_FEATURES], numbers["importance"][:_MOST_FEATURES]
    axes.barh(range(len(names)), values, color=_BLUE, height=0.7)
    axes.set_yticks(range(len(names)), [_short(name, 28) for name in names])
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    more = len(numbers["features"]) - len(names)
    title = "Importance of the features" + (f" (the first {len(names)} of {len(names) + more})" if more else "")
    axes.set(title=title, xlabel=numbers["kind"])


def _confusion(axes: Any, numbers: Numbers) -> None:
    counts = np.array(numbers["counts"], dtype=np.float64)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.grid(visible=False)
    places = range(len(counts))
    few = len(counts) <= _MOST_NUMBERED
    digits = 1 if len(counts) == 2 else 0
    for row in places:
        for column in places if few else ():
            axes.text(
                column,
                row,
                f"{int(counts[row, column]):,}\n{shares[row, column]:.{digits}%}",
                ha="center",
                va="center",
                fontsize=10 if len(counts) <= 4 else 5.5,
                color="white" if shares[row, column] > 0.6 else "black",
            )
    names = [_short(name, 14) for name in numbers["labels"]]
    slanted = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if len(names) > 4 else {}
    axes.set_xticks(places, names, **slanted)
    axes.set_yticks(places, names)
    how = "the likeliest class" if numbers["cut"] is None else f"cut at {numbers['cut']:g}"
    axes.set_title(f"Holdout, {how}; shares are of the label", fontsize=9)
    axes.set(xlabel="predicted", ylabel="label")


def _roc(axes: Any, numbers: Numbers) -> None:
    x, y = numbers["false_positive_rate"], numbers["true_positive_rate"]
    axes.plot([0, 1], [0, 1], color=_GREY, linestyle="--", linewidth=0.9)
    axes.plot(x, y, color=_BLUE)
    area = float(np.trapezoid(y, x))
    axes.set(
        title=f"ROC on the holdout, area {area:.3f}",
        xlabel="false positive rate",
        ylabel="true positive rate",
        xlim=(0, 1),
        ylim=(0, 1.01),
    )


def _precision_recall(axes: Any, numbers: Numbers) -> None:
    share = numbers["share_positive"]
    axes.axhline(share, color=_GREY, linestyle="--", linewidth=0.9, label=f"share of ones {share:.2f}")
    axes.plot(numbers["recall"], numbers["precision"], color=_BLUE)
    axes.legend(frameon=False)
    axes.set(
        title="Precision and recall on the holdout", xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02)
    )


def _calibration(axes: Any, numbers: Numbers) -> None:
    axes.plot([0, 1], [0, 1], color=_GREY, linestyle="--", linewidth=0.9, label="perfectly calibrated")
    axes.plot(
        numbers["predicted"], numbers["observed"], color=_BLUE, marker="o", markersize=5, label="tenths of the rows"
    )
    axes.legend(frameon=False)
    axes.set(
        title="Calibration on the holdout",
        xlabel="mean prediction",
        ylabel="share of ones",
        xlim=(0, 1),
        ylim=(-0.02, 1.02),
    )


def _predicted_and_actual(axes: Any, numbers: Numbers) -> None:
    actual, predicted = numbers["actual"], numbers["predicted"]
    ends = [min(*actual, *predicted), max(*actual, *predicted)]
    axes.plot(ends, ends, color=_GREY, linestyle="--", linewidth=0.9)
    axes.scatter(actual, predicted, s=9, alpha=0.45, color=_BLUE, linewidths=0)
    axes.set(title="Predicted and actual values on the holdout", xlabel="actual", ylabel="predicted")


def _residuals(axes: Any, numbers: Numbers) -> None:
    predicted = np.array(numbers["predicted"])
    axes.axhline(0, color=_GREY, linestyle="--", linewidth=0.9)
    axes.scatter(predicted, np.array(numbers["actual"]) - predicted, s=9, alpha=0.45, color=_BLUE, linewidths=0)
    axes.set(title="Residuals on the holdout", xlabel="predicted", ylabel="actual - predicted")


def _parallel(axes: Any, numbers: Numbers) -> None:
    """A line for each trial through its hyperparameters, each on an axis of its own, the metric last."""
    trials = numbers["trials"]
    names = [*numbers["parameters"], numbers["metric"]]
    columns = [_Axis([t["params"][name] for t in trials]) for name in numbers["parameters"]]
    columns.append(_Axis([t["value"] for t in trials]))
    best = (max if numbers["maximize"] else min)(range(len(trials)), key=lambda i: trials[i]["value"])
    for place in range(len(trials)):
        heights = [column.heights[place] for column in columns]
        won = place == best
        axes.plot(
            range(len(names)),
            heights,
            color=_ORANGE if won else _BLUE,
            alpha=1.0 if won else 0.35,
            linewidth=2.2 if won else 1.0,
            zorder=3 if won else 2,
        )
    for x, column in enumerate(columns):
        axes.axvline(x, color="#5f6368", linewidth=0.8, zorder=1)
        for height, text in column.ticks:
            axes.annotate(
                text, (x, height), xytext=(4, 0), textcoords="offset points", va="center", fontsize=7,
                bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.6}, zorder=4,
            )  # fmt: skip
    axes.set_xticks(range(len(names)), [_short(name, 18) for name in names])
    axes.set_yticks([])
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.grid(visible=False)
    axes.set(
        title=f"Search: {len(trials)} trials, the best in orange", xlim=(-0.15, len(names) - 0.6), ylim=(-0.06, 1.06)
    )


def _contour(axes: Any, numbers: Numbers) -> None:
    """The metric over the two hyperparameters it hangs most on by rank, as coloured points, with contours if it can."""
    trials = numbers["trials"]
    values = np.array([t["value"] for t in trials])
    known = {name: _Axis([t["params"][name] for t in trials]) for name in numbers["parameters"]}
    # numbers first: between names there is nothing to draw a contour through
    order = sorted(known, key=lambda name: (known[name].named, -_dependence(known[name].heights, values)))
    strongest = order[:2]
    x = known[strongest[0]]
    y = known[strongest[1]] if len(strongest) > 1 else _Axis(values.tolist())
    distinct = len({(a, b) for a, b in zip(x.heights, y.heights, strict=True)})
    if len(strongest) > 1 and distinct >= 6 and min(len(set(x.heights)), len(set(y.heights))) >= 4:
        # points in one line have no area to draw contours over
        with suppress(RuntimeError):
            axes.tricontourf(x.heights, y.heights, values, levels=12, cmap="viridis", alpha=0.55)
    shown = axes.scatter(
        x.heights, y.heights, c=values, cmap="viridis", s=42, edgecolors="white", linewidths=0.8, zorder=3
    )
    axes.figure.colorbar(shown, ax=axes, label=numbers["metric"])
    axes.set_xticks([h for h, _ in x.ticks], [t for _, t in x.ticks])
    axes.set_yticks([h for h, _ in y.ticks], [t for _, t in y.ticks])
    axes.set(
        title=f"{numbers['metric']} of the trials over the search space",
        xlabel=strongest[0],
        ylabel=strongest[1] if len(strongest) > 1 else numbers["metric"],
        xlim=(-0.05, 1.05),
        ylim=(-0.05, 1.05),
    )


class _Axis:
    """Values of one hyperparameter as heights 0..1, and ticks (height, text); logarithmic where they span decades."""

    def __init__(self, values: Sequence[Any]) -> None:
        self.named = not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
        if not self.named:
            self._numbers(np.array(values, dtype=np.float64))
        else:
            self._names([str(value) for value in values])

    def _names(self, values: Sequence[str]) -> None:
        known = sorted(set(values))
        place = {name: i / max(1, len(known) - 1) for i, name in enumerate(known)}
        self.heights = [place[value] for value in values]
        self.ticks = [(place[name], _short(name, 14)) for name in known[:_MOST_TICKS]]

    def _numbers(self, values: Any) -> None:
        low, high = float(values.min()), float(values.max())
        logarithmic = low > 0 and high / low > 30
        scaled = np.log(values) if logarithmic else values
        start, span = float(scaled.min()), float(np.ptp(scaled)) or 1.0
        self.heights = ((scaled - start) / span).tolist()
        steps = np.linspace(0, 1, 5)
        shown = start + steps * float(np.ptp(scaled))
        self.ticks = [
            (float(h), f"{v:.3g}") for h, v in zip(steps, np.exp(shown) if logarithmic else shown, strict=True)
        ]


def _dependence(heights: Sequence[float], values: Any) -> float:
    """|Spearman's rank correlation| between a hyperparameter and the metric."""
    ranks = [np.argsort(np.argsort(column)).astype(np.float64) for column in (np.array(heights), values)]
    spread = float(ranks[0].std() * ranks[1].std())
    return abs(float(((ranks[0] - ranks[0].mean()) * (ranks[1] - ranks[1].mean())).mean())) / spread if spread else 0.0


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


DRAWINGS: Mapping[str, Callable[[Numbers], bytes]] = {
    "learning_curves": _png(_learning_curves),
    "feature_importance": _png(_importance, (7.0, 5.5)),
    "confusion_matrix": _png(_confusion, (5.0, 4.5)),
    "roc": _png(_roc, (5.5, 5.0)),
    "precision_recall": _png(_precision_recall, (5.5, 5.0)),
    "calibration": _png(_calibration, (5.5, 5.0)),
    "predicted_and_actual": _png(_predicted_and_actual, (5.5, 5.0)),
    "residuals": _png(_residuals),
    "search": _png(_parallel, (9.0, 4.5)),
    "search_contour": _png(_contour, (7.0, 5.0)),
}
