"""One page with everything Prometheus should know: what the store says, what the actors of the loop know."""

import logging
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import mlops_ray
from mlops_ray.control.rollout_record import load_state
from mlops_ray.errors import StoreError
from mlops_ray.rollout import assess
from mlops_ray.spec import ModelSpec
from mlops_ray.store import (
    AlertRecord,
    ModelRecord,
    ModelVersionRecord,
    RolloutRecord,
    RouteRecord,
    Store,
    TriggerRecord,
)
from mlops_ray.telemetry import Page, Tally

__all__ = ["metrics_page"]

_log = logging.getLogger(__name__)
_WORST_FEATURES = 10
_STATISTICS = ("ks", "js", "psi", "shift", "wasserstein", "mean_shift")
"""As far as a report has them."""
_REPLICA_GAUGES = ("in_flight", "in_flight_limit", "queued_rows", "records_waiting")


def metrics_page(store: Store, telemetry: Mapping[str, Any]) -> Page:
    """The page; a store or an actor that does not answer is said to be down, and the rest is shown."""
    page = Page()
    page.put("build_info", 1, mlops_ray.__version__)
    for actor, answer in telemetry.items():
        page.put("actor_up", answer is not None, actor)
    try:
        _put_store(page, store)
        page.put("store_up", 1)
    except StoreError as error:
        _log.warning("the store does not answer: %s", error)
        page.put("store_up", 0)
    for model, known in (telemetry.get("drift") or {}).items():
        _put_traffic(page, model, known["traffic"])
        _put_status(page, model, known["status"])
    return page


# -- what the store says -----------------------------------------------------------------------------------------------


def _put_store(page: Page, store: Store) -> None:
    models = store.models()
    page.put("models", len(models))
    page.put("audit_events", store.audit_length())
    for record in models:
        spec = ModelSpec.model_validate_json(record.spec_json)
        _put_champion(page, record, store.champion(record.name), store.route(record.name))
        for (stage,), count in store.tally(ModelVersionRecord, "stage", model=record.name).items():
            page.put("versions", count, record.name, stage)
        for (phase,), count in store.tally(RolloutRecord, "phase", model=record.name).items():
            page.put("rollouts", count, record.name, phase)
        for rollout in store.rollouts(record.name, active_only=True):
            _put_rollout(page, spec, rollout)
        _put_alerts(page, record.name, store.alerts(record.name, state="open"))
        _put_retrainings(page, record.name, store.triggers(record.name))
        page.put("objective_latency_seconds", spec.serve.latency_objective_ms / 1000, record.name)
        page.put("objective_error_share", spec.monitor.operational.max_error_share, record.name)


def _put_champion(
    page: Page, model: ModelRecord, champion: ModelVersionRecord | None, route: RouteRecord | None
) -> None:
    version, dataset = (champion.version, champion.dataset) if champion is not None else (0, "")
    page.put("model_info", 1, model.name, version, dataset)
    page.put("champion_version", version, model.name)
    number = re.search(r"@v(\d+)$", dataset)
    if number:
        page.put("champion_dataset_version", int(number[1]), model.name)
    page.put("route_share", route.share if route else 0.0, model.name)
    page.put("route_mirror", route.mirror if route else 0.0, model.name)
    page.put("route_epoch", route.epoch if route else 0, model.name)


def _put_rollout(page: Page, spec: ModelSpec, rollout: RolloutRecord) -> None:
    state, _ = load_state(rollout)
    assessment = assess(state.evidence, spec.rollout)
    by = (spec.name, rollout.version)
    page.put("rollout_phase", 1, *by, state.phase.value)
    page.put("rollout_phase_since_timestamp_seconds", state.phase_since_s, *by)
    page.put("rollout_step", state.step + 1, *by)
    page.put("rollout_requests", state.evidence.canary_requests, *by, "canary")
    page.put("rollout_requests", state.evidence.champion_requests, *by, "champion")
    page.put("rollout_verdict", 1, *by, assessment.verdict.value)
    for metric in assessment.metrics:
        page.put("rollout_e_value", metric.e_worse, *by, metric.name, "worse")
        page.put("rollout_e_value", metric.e_fine, *by, metric.name, "fine")


def _put_alerts(page: Page, model: str, alerts: Sequence[AlertRecord]) -> None:
    """What nobody is alerted of has no series."""
    counts: dict[tuple[str, str], int] = defaultdict(int)
    for alert in alerts:
        counts[alert.kind, alert.severity] += 1
    for (kind, severity), count in counts.items():
        page.put("alerts_open", count, model, kind, severity)


def _put_retrainings(page: Page, model: str, triggers: Sequence[TriggerRecord]) -> None:
    counts: dict[tuple[str, str], int] = defaultdict(int)
    for trigger in triggers:
        counts[trigger.cause, trigger.state] += 1
    for (cause, state), count in counts.items():
        page.put("retrainings", count, model, cause, state)
    begun = [trigger.created_s for trigger in triggers if trigger.submission_id is not None]
    if begun:
        page.put("retraining_timestamp_seconds", max(begun), model)


# -- what the drift actor knows ----------------------------------------------------------------------------------------


def _put_traffic(page: Page, model: str, traffic: Mapping[str, Any]) -> None:
    page.put_tally(Tally.from_json(traffic["tally"]), model)
    if traffic["last_request_s"] is not None:
        page.put("last_request_timestamp_seconds", traffic["last_request_s"], model)
    sums: dict[tuple[str, int], float] = defaultdict(float)
    replicas: dict[tuple[int, str], int] = defaultdict(int)
    for replica in traffic["replicas"]:
        replicas[replica["version"], replica["role"]] += 1
        for name in _REPLICA_GAUGES:
            sums[name, replica["version"]] += replica["gauges"].get(name, 0.0)
    for (version, role), count in replicas.items():
        page.put("replicas", count, model, version, role)
    for (name, version), total in sums.items():
        page.put(name, total, model, version)


def _put_status(page: Page, model: str, status: Mapping[str, Any]) -> None:
    version = status.get("version")
    if version is None:
        return
    page.put("drifted_features", len(status.get("alerted_features") or ()), model, version)
    if status.get("report"):
        page.put("judged_timestamp_seconds", status["judged_s"], model)
        _put_drift(page, model, version, status["report"])
    performance = status.get("performance")
    if performance:
        page.put("label_coverage", performance["coverage"], model, version)
        page.put("labelled_rows", performance["rows"], model, version)
        for metric, value in performance["metrics"].items():
            page.put("performance", value, model, version, metric)


def _put_drift(page: Page, model: str, version: int, report: Mapping[str, Any]) -> None:
    """The worst few features; the rest is in the maximum. A table of a thousand columns adds no thousand series."""
    features = sorted(report["features"], key=lambda feature: (-(feature.get("ks") or 0.0), feature["name"]))
    page.put("judged_rows", report["rows"], model, version)
    page.put("watched_features", len(features), model, version)
    for statistic in _STATISTICS:
        known = [feature[statistic] for feature in features if feature.get(statistic) is not None]
        if known:
            # a shift has a sign
            page.put("drift_score_max", max(abs(value) for value in known), model, version, statistic)
        for feature in features[:_WORST_FEATURES]:
            if feature.get(statistic) is not None:
                page.put("drift_score", feature[statistic], model, version, feature["name"], statistic)
