"""Every metric there is: its name, its kind, its labels. What is not declared here is not shown.

All labels are bounded: models and versions are those in the store (and of versions the newest few that had traffic),
features are the worst few, everything else is one of a fixed list. Names follow Prometheus's own guide
(prometheus.io/docs/practices/naming): base units, `_total` for counters.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

__all__ = ["METRICS", "PREFIX", "Metric"]

PREFIX = "mlops_ray_"
_TIMES_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_ROWS = tuple(float(2**power) for power in range(11))


@dataclass(frozen=True)
class Metric:
    """How one metric is shown."""

    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ("model",)
    edges: tuple[float, ...] = ()
    """Of a histogram."""


def _counter(help: str, *labels: str) -> Metric:
    return Metric("counter", help, ("model", *labels))


def _gauge(help: str, *labels: str) -> Metric:
    return Metric("gauge", help, ("model", *labels))


def _times(help: str) -> Metric:
    return Metric("histogram", help, ("model", "version", "role"), _TIMES_S)


_TRAFFIC = {
    "requests_total": _counter("Requests by who answered, and the status", "version", "role", "code"),
    "asked_total": _counter("Requests a version should have answered, whoever answered them then", "version", "role"),
    "errors_total": _counter(
        "Requests a version should have answered and did not, whoever answered them then", "version", "role"
    ),
    "slow_total": _counter("Answers slower than serve.latency_objective_ms in queue and model", "version", "role"),
    "rows_total": _counter("Rows in these requests", "version", "role"),
    "fallbacks_total": _counter("Requests of a version under delivery that the champion answered for it", "version"),
    "request_duration_seconds": _times("From the first byte to the answer, inside of the replica"),
    "request_queue_seconds": _times("Waiting for a predict call"),
    "request_predict_seconds": _times("In the predict call"),
    "batch_rows": Metric("histogram", "Rows in one predict call", ("model", "version"), _ROWS),
    "http_responses_total": _counter("HTTP answers of any kind by status, refusals among them", "code"),
    "rejected_total": _counter("Requests refused before a version was asked", "reason"),
    "records_dropped_total": _counter("Rows that were answered and not recorded, for want of room"),
    "copies_dropped_total": _counter("Copies a shadow was not asked for, for want of room"),
    "in_flight": _gauge("Requests being answered, over all replicas", "version"),
    "in_flight_limit": _gauge("Requests that may be answered at a time, over all replicas", "version"),
    "queued_rows": _gauge("Rows that wait for a predict call, over all replicas", "version"),
    "records_waiting": _gauge("Answered requests whose records wait to be handed over, over all replicas", "version"),
    "replicas": _gauge("Replicas that reported within the last half minute", "version", "role"),
    "last_request_timestamp_seconds": _gauge("When the newest request was answered"),
}
_DELIVERY = {
    "model_info": _gauge("1 for each model; champion and dataset of its champion as labels", "champion", "dataset"),
    "champion_version": _gauge("The version that is champion; 0 for none"),
    "champion_dataset_version": _gauge("Number of the dataset version the champion was trained on"),
    "versions": _gauge("Trained versions", "stage"),
    "route_share": _gauge("Share of the units on the version under delivery"),
    "route_mirror": _gauge("Share of the requests copied to the version under delivery"),
    "route_epoch": _gauge("Epoch of the route, which grows by one with every change"),
    "rollouts": _gauge("Rollouts so far by phase", "phase"),
    "rollout_phase": _gauge("1 for the phase of the rollout under way", "version", "phase"),
    "rollout_phase_since_timestamp_seconds": _gauge("Since when the rollout under way is in its phase", "version"),
    "rollout_step": _gauge("Step of the rollout under way, from 1", "version"),
    "rollout_requests": _gauge("Requests in the evidence of the rollout under way", "version", "side"),
    "rollout_e_value": _gauge(
        "Evidence of the rollout under way by metric, that it is worse than it may be, or fine", "version", "metric",
        "hypothesis",
    ),
    "rollout_verdict": _gauge("1 for the verdict on the rollout under way", "version", "verdict"),
}  # fmt: skip
_MONITOR = {
    "drift_score": _gauge("Of the most drifted features, by statistic", "version", "feature", "statistic"),
    "drift_score_max": _gauge("Of all watched features", "version", "statistic"),
    "drifted_features": _gauge("Features that are alerted", "version"),
    "watched_features": _gauge("Features in the newest judgement", "version"),
    "judged_rows": _gauge("Rows in the newest judgement", "version"),
    "judged_timestamp_seconds": _gauge("When a window was judged last"),
    "label_coverage": _gauge("Share of the champion's rows whose outcome is known", "version"),
    "labelled_rows": _gauge("The champion's rows whose outcome is known", "version"),
    "performance": _gauge("Metrics on outcomes", "version", "metric"),
    "alerts_open": _gauge("Open alerts", "kind", "severity"),
    "retrainings": _gauge("Retrainings so far by cause and state", "cause", "state"),
    "retraining_timestamp_seconds": _gauge("When a retraining began last"),
    "objective_latency_seconds": _gauge("serve.latency_objective_ms"),
    "objective_error_share": _gauge("monitor.operational.max_error_share"),
}
_ENGINE = {
    "build_info": Metric("gauge", "1, with the version of the package", ("version",)),
    "actor_up": Metric("gauge", "Whether an actor of the loop answers", ("actor",)),
    "store_up": Metric("gauge", "Whether the store answers", ()),
    "models": Metric("gauge", "Models in the store", ()),
    "audit_events": Metric("gauge", "Length of the audit chain", ()),
}
METRICS: Mapping[str, Metric] = {PREFIX + name: m for name, m in (_TRAFFIC | _DELIVERY | _MONITOR | _ENGINE).items()}
"""By full name."""
