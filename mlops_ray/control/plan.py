"""What a delivery will take, before it starts: requests, labels and time, from what the champion does now."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.compute as pc

from mlops_ray.lake import Lake
from mlops_ray.records import RecordLog
from mlops_ray.rollout import labels_to_detect, requests_to_detect
from mlops_ray.spec import AB, ModelSpec, Step, Workspace

__all__ = ["Baseline", "baseline_of", "delivery_plan", "plan_text"]

_SEEN_S = 3600.0
_WORSE_BY = 3.0
_LEAST_WORSE = 0.02
_LABELS_FOR_SD = 30
_UNKNOWN_SD = 0.5  # the largest that a share of yes and no can have


@dataclass(frozen=True)
class Baseline:
    """What the champion's traffic looks like."""

    requests_per_s: float | None
    error_rate: float
    labels_per_s: float | None
    label_sd: float | None


def baseline_of(spec: ModelSpec, workspace: Workspace, *, now_s: float, requests_per_s: float | None) -> Baseline:
    """The traffic of the last hour, or since it began; `requests_per_s` replaces what was seen."""
    log, since_s = RecordLog(Lake(workspace.lake), spec.name), now_s - _SEEN_S
    served = log.served(since_s, ["row", "assigned", "error", "time_s"])
    if served.num_rows:
        served = served.filter((pc.field("row") == 0) & pc.field("assigned").isin(["champion", "canary"]))
    champions = served.filter(pc.field("assigned") == "champion") if served.num_rows else served
    labels = log.labels(since_s)
    span_s = max(1.0, now_s - pc.min(served["time_s"]).as_py()) if served.num_rows else _SEEN_S
    seen = served.num_rows / span_s if served.num_rows else None
    errors = champions.num_rows - champions["error"].null_count
    return Baseline(
        requests_per_s=requests_per_s if requests_per_s is not None else seen,
        error_rate=errors / champions.num_rows if champions.num_rows else 0.0,
        labels_per_s=labels.num_rows / span_s if labels.num_rows else None,
        label_sd=float(np.std(labels["label"].to_numpy())) if labels.num_rows >= _LABELS_FOR_SD else None,
    )


def delivery_plan(spec: ModelSpec, baseline: Baseline) -> dict[str, Any]:
    """JSON values: each step with its shortest time, what it would find, and the labels an A/B test needs."""
    return {
        "model": spec.name,
        "strategy": spec.rollout.strategy,
        "requests_per_s": baseline.requests_per_s,
        "steps": [_step(spec, step, baseline) for step in spec.rollout.plan],
        "ab": None if spec.rollout.ab is None else _ab(spec, spec.rollout.ab, baseline),
    }


def plan_text(content: Mapping[str, Any]) -> str:
    """The same for people."""
    rate = content["requests_per_s"]
    seen = f"at {rate:.3g} requests/s" if rate else "no traffic seen in the last hour; name it with --requests-per-s"
    lines = [f"{content['strategy']} of {content['model']}, {seen}"]
    if not content["steps"]:
        lines.append("  promoted as soon as it is ready and answers as in training; nothing is compared")
    for number, step in enumerate(content["steps"], 1):
        lines.append(f"  step {number}: {_step_text(step)}")
    if content["ab"] is not None:
        lines.append(f"  {_ab_text(content['ab'])}")
    return "\n".join(lines)


def _step(spec: ModelSpec, step: Step, baseline: Baseline) -> dict[str, Any]:
    share = step.share or step.mirror
    per_s = baseline.requests_per_s * share if baseline.requests_per_s else None
    worse = min(1.0, max(_WORSE_BY * baseline.error_rate, baseline.error_rate + _LEAST_WORSE))
    needed = requests_to_detect(baseline.error_rate, worse, share=share, rollout=spec.rollout)
    return {
        "share": step.share,
        "mirror": step.mirror,
        "shortest_s": step.min_s if per_s is None else max(step.min_s, step.min_requests / per_s),
        "longest_s": step.max_s,
        "champion_error_rate": baseline.error_rate,
        "worse_error_rate": worse,
        "found_after_requests": None if needed is None else needed.half,
        "found_after_s": None if needed is None or per_s is None else needed.half / per_s,
    }


def _step_text(step: Mapping[str, Any]) -> str:
    who = f"share {step['share']:g}" if step["share"] else f"mirror {step['mirror']:g}"
    text = f"{who}, {_time(step['shortest_s'])} to {_time(step['longest_s'])}"
    if step["found_after_requests"] is None:
        return text
    after = f" or {_time(step['found_after_s'])}" if step["found_after_s"] is not None else ""
    return (
        f"{text}; {step['worse_error_rate']:.1%} errors (the champion has {step['champion_error_rate']:.1%}) are found "
        f"after {step['found_after_requests']:,} requests{after}, half of the time"
    )


def _ab(spec: ModelSpec, ab: AB, baseline: Baseline) -> dict[str, Any]:
    sd = baseline.label_sd or _UNKNOWN_SD
    needed = labels_to_detect(ab.min_effect, sd, share=ab.share, rollout=spec.rollout)
    per_s = baseline.labels_per_s
    return {
        "primary": ab.primary.name,
        "effect": ab.min_effect,
        "sd": sd,
        "sd_was_seen": baseline.label_sd is not None,
        "canary_labels": needed.canary,
        "canary_labels_most": needed.canary_most,
        "after_s": None if per_s is None else needed.canary / (per_s * ab.share),
        "after_most_s": None if per_s is None else needed.canary_most / (per_s * ab.share),
        "longest_s": ab.max_s,
    }


def _ab_text(ab: Mapping[str, Any]) -> str:
    sd = f"sd {ab['sd']:.3g}, {'seen in labels' if ab['sd_was_seen'] else 'assumed: no labels yet'}"
    text = (
        f"power: a difference of {ab['effect']:g} in {ab['primary']} ({sd}) needs {ab['canary_labels']:,} labelled "
        f"units on the new version half of the time, {ab['canary_labels_most']:,} nine times of ten"
    )
    if ab["after_s"] is None:
        return text
    late = "; longer than max_s, it will probably end undecided" if ab["after_s"] > ab["longest_s"] else ""
    return f"{text}: {_time(ab['after_s'])} to {_time(ab['after_most_s'])} at the present rate of labels{late}"


def _time(seconds: float) -> str:
    for unit, size in (("d", 86_400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"
