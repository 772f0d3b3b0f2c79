"""What outcomes say of a model, as lines for people."""

from collections.abc import Mapping
from typing import Any

__all__ = ["outcome_lines"]

_WINDOWS = 5


def outcome_lines(outcomes: Mapping[str, Any] | None) -> list[str]:
    """The `outcomes` of a drift status as text; nothing while there are none."""
    if outcomes is None:
        return []
    limits = outcomes["performance"]["limits"]
    lines = [f"  {name}: {low:.4f} to {high:.4f} (confidence limits)" for name, (low, high) in limits.items()]
    lines += [_window(window) for window in outcomes["windows"][-_WINDOWS:]]
    lines += _stream(outcomes["errors"])
    for value in outcomes["business"]:
        lines.append(f"{value['name']}: {value['value']:.4g} ({value['low']:.4g} to {value['high']:.4g})")
    for found in outcomes["slices"]:
        where = " and ".join(found["conditions"])
        lines.append(
            f"worse where {where}: {found['error']:.1%} wrong of {found['rows']} rows, {found['excess']:.1%} more than "
            f"elsewhere (at least {found['low']:.1%})"
        )
    lines += [f"fairness {result['verdict']}: {result['message']}" for result in outcomes["fairness"]]
    lines += _estimate(outcomes["estimate"])
    if outcomes["waiting"]:
        lines.append(f"{outcomes['waiting']} outcomes are of no answer that this version is known to have given")
    return lines + [f"not measured: {problem}" for problem in outcomes["problems"]]


def _window(window: Mapping[str, Any]) -> str:
    metrics = ", ".join(f"{k} {v:.4f}" for k, v in window["metrics"].items())
    span = f"{window['begin_s']:.0f} to {window['end_s']:.0f}"
    counts = f"{window['rows']} of {window['answers']} answers have outcomes"
    return f"  window {span} ({window['ripeness']}): {counts}{f': {metrics}' if metrics else ''}"


def _stream(stream: Mapping[str, Any] | None) -> list[str]:
    if stream is None or not stream["seen"]:
        return []
    rate = stream["errors"] / stream["seen"]
    since = "" if stream["since"] is None else f" since label {stream['since']}"
    return [f"errors: {stream['level']}{since}; {rate:.1%} of {stream['seen']} labels, {stream['alarms']} alarms"]


def _estimate(estimate: Mapping[str, Any] | None) -> list[str]:
    if estimate is None or not estimate["rows"]:
        return []
    bands = ", ".join(
        f"{name} {value:.3f} ({estimate['bands'][name][0]:.3f} to {estimate['bands'][name][1]:.3f})"
        for name, value in estimate["metrics"].items()
    )
    return [f"without labels, {estimate['rows']} answers: {bands or 'nothing'}; {estimate['note']}"]
