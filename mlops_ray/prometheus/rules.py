"""Recording and alert rules, as a value.

A series of the engine is there in every scrape, or the whole page is missing: `up` tells. A gauge of Ray vanishes about
20 s after it was last set, so that rules on nodes look at the last minute (`last_over_time`).
"""

from collections.abc import Mapping
from typing import Any

__all__ = ["rules"]

_BY = "model, version, role"
_USERS = 'role=~"champion|canary"'
_DURATION = "mlops_ray_request_duration_seconds"


def rules() -> Mapping[str, Any]:
    """The content of rules.yml."""
    return {
        "groups": [
            {"name": "mlops_ray.recorded", "rules": [*_traffic(), *_durations()]},
            {"name": "mlops_ray.engine", "rules": _engine()},
            {"name": "mlops_ray.serving", "rules": [*_serving(), *_capacity()]},
            {"name": "mlops_ray.loop", "rules": _loop()},
            {"name": "mlops_ray.nodes", "rules": _nodes()},
        ]
    }


def _traffic() -> list[Mapping[str, Any]]:
    requests = f"sum by ({_BY}) (rate(mlops_ray_requests_total[5m]))"
    asked = f"sum by ({_BY}) (rate(mlops_ray_asked_total[5m]))"
    errors = f"sum by ({_BY}) (rate(mlops_ray_errors_total[5m]))"
    return [
        _record("mlops_ray:requests:rate5m", requests),
        _record("mlops_ray:asked:rate5m", asked),
        _record("mlops_ray:errors:rate5m", f"{errors} or 0 * {asked}"),
        _record("mlops_ray:fallbacks:rate5m", "sum by (model, version) (rate(mlops_ray_fallbacks_total[5m]))"),
        _record("mlops_ray:error_share:rate5m", "mlops_ray:errors:rate5m / mlops_ray:asked:rate5m"),
        _record(
            "mlops_ray:http_error_share:rate5m",
            'sum by (model) (rate(mlops_ray_http_responses_total{code=~"5.."}[5m])) / '
            "sum by (model) (rate(mlops_ray_http_responses_total[5m]))",
        ),
        _record(
            "mlops_ray:slow_share:rate5m",
            f"sum by ({_BY}) (rate(mlops_ray_slow_total[5m])) / mlops_ray:requests:rate5m",
        ),
    ]


def _durations() -> list[Mapping[str, Any]]:
    return [
        _record(
            f"mlops_ray:request_duration_seconds:p{round(100 * quantile)}_5m",
            f"histogram_quantile({quantile}, sum by ({_BY}, le) (rate({_DURATION}_bucket[5m])))",
        )
        for quantile in (0.5, 0.95, 0.99)
    ]


def _engine() -> list[Mapping[str, Any]]:
    return [
        _alert(
            "EngineDown",
            'up{job="mlops_ray"} == 0',
            "1m",
            "critical",
            (
                "The engine's page of metrics is not there",
                "Serve, its ingress or the whole cluster does not answer. Look at `ray status` and Serve's log.",
            ),
        ),
        _alert(
            "ActorDown",
            "mlops_ray_actor_up == 0",
            "2m",
            "critical",
            (
                "The {{ $labels.actor }} actor does not answer",
                "Ray restarts it by itself. Nothing is judged or steered meanwhile; requests are answered.",
            ),
        ),
        _alert(
            "StoreDown",
            "mlops_ray_store_up == 0",
            "1m",
            "critical",
            (
                "The store does not answer",
                "Replicas go on with the route they have; nothing can be deployed, promoted or rolled back.",
            ),
        ),
    ]


def _serving() -> list[Mapping[str, Any]]:
    enough = "mlops_ray:asked:rate5m > 0.2"
    return [
        _alert(
            "ErrorShareHigh",
            f'(mlops_ray:error_share:rate5m{{role="champion"}} > on (model) group_left () '
            f"mlops_ray_objective_error_share) and {enough}",
            "2m",
            "critical",
            (
                "{{ $labels.model }} v{{ $labels.version }} fails {{ $value | humanizePercentage }} of its requests",
                "Above monitor.operational.max_error_share. `mlops-ray rollback` brings the version before back.",
            ),
        ),
        _alert(
            "HttpErrors",
            "mlops_ray:http_error_share:rate5m > 0.05",
            "5m",
            "critical",
            (
                "{{ $labels.model }} answers {{ $value | humanizePercentage }} of requests with 5xx",
                "503 among them: replicas are full, or there are none. See mlops_ray_rejected_total by reason.",
            ),
        ),
        _alert(
            "LatencyAboveObjective",
            f"(mlops_ray:request_duration_seconds:p99_5m{{{_USERS}}} > on (model) group_left () "
            f"mlops_ray_objective_latency_seconds) and {enough}",
            "10m",
            "warning",
            (
                "p99 of {{ $labels.model }} v{{ $labels.version }} is {{ $value | humanizeDuration }}",
                "Above serve.latency_objective_ms. More replicas, or batching, or a smaller model.",
            ),
        ),
    ]


def _capacity() -> list[Mapping[str, Any]]:
    return [
        _alert(
            "NoTraffic",
            "sum by (model) (rate(mlops_ray_http_responses_total[15m])) == 0 and "
            "sum by (model) (rate(mlops_ray_http_responses_total[15m] offset 1d)) > 0",
            "10m",
            "warning",
            (
                "{{ $labels.model }} is asked nothing, and was at this time yesterday",
                "Whoever asks is away, or does not reach the ingress.",
            ),
        ),
        _alert(
            "RequestsRejected",
            'sum by (model) (rate(mlops_ray_rejected_total{reason="no_room"}[5m])) > 0.01 * '
            "sum by (model) (rate(mlops_ray_http_responses_total[5m]))",
            "5m",
            "warning",
            (
                "{{ $labels.model }} has no room for more than 1 % of its requests",
                "serve.max_ongoing_requests is reached, or rows wait: more replicas are needed.",
            ),
        ),
        _alert(
            "RecordsDropped",
            "increase(mlops_ray_records_dropped_total[10m]) > 0",
            "0m",
            "warning",
            (
                "{{ $labels.model }} answered {{ $value | humanize }} rows in 10 min that were not recorded",
                "Evidence and drift do not see them. The drift actor or the lake is too slow, or away.",
            ),
        ),
        _alert(
            "NoReplicas",
            'mlops_ray_champion_version > 0 unless on (model) mlops_ray_replicas{role="champion"}',
            "2m",
            "critical",
            ("No replica of {{ $labels.model }} reports", "Its application is down, or cannot reach the drift actor."),
        ),
    ]


def _loop() -> list[Mapping[str, Any]]:
    return [
        _alert(
            "MonitorAlert",
            "sum by (model, kind, severity) (mlops_ray_alerts_open) > 0",
            "0m",
            "{{ $labels.severity }}",
            (
                "{{ $labels.model }}: an alert on {{ $labels.kind }} is open",
                "`mlops-ray status` and `mlops-ray drift` say what was seen.",
            ),
        ),
        _alert(
            "NotJudged",
            "time() - mlops_ray_judged_timestamp_seconds > 3600 and on (model) rate(mlops_ray_rows_total[30m]) > 0",
            "5m",
            "warning",
            (
                "{{ $labels.model }} has traffic, and no window of it was judged for an hour",
                "monitor.window.every_s may be longer than that; else look at the drift actor's log.",
            ),
        ),
        _alert(
            "RolloutWaits",
            "time() - mlops_ray_rollout_phase_since_timestamp_seconds > 86400 and on (model, version) "
            'mlops_ray_rollout_phase{phase=~"WAITING|PAUSED"}',
            "0m",
            "warning",
            (
                "The rollout of {{ $labels.model }} v{{ $labels.version }} waits for people since a day",
                "`mlops-ray approve`, `resume` or `abort`.",
            ),
        ),
        _alert(
            "RolledBack",
            'increase(mlops_ray_rollouts{phase="ROLLED_BACK"}[15m]) > 0',
            "0m",
            "warning",
            ("A version of {{ $labels.model }} was rolled back", "`mlops-ray postmortem` says why."),
        ),
        _alert(
            "RetrainingFailed",
            'increase(mlops_ray_retrainings{state="failed"}[1h]) > 0',
            "0m",
            "warning",
            ("A retraining of {{ $labels.model }} failed", "`mlops-ray status` names its Ray job."),
        ),
    ]


def _nodes() -> list[Mapping[str, Any]]:
    return [
        _alert(
            "NodeMemoryHigh",
            "last_over_time(ray_node_mem_used[1m]) / last_over_time(ray_node_mem_total[1m]) > 0.92",
            "5m",
            "warning",
            (
                "Node {{ $labels.ip }} uses {{ $value | humanizePercentage }} of its memory",
                "Ray ends workers when it is full.",
            ),
        ),
        _alert(
            "NodeDiskFull",
            "last_over_time(ray_node_disk_utilization_percentage[1m]) > 92",
            "10m",
            "warning",
            (
                "The disk of node {{ $labels.ip }} is {{ $value | humanize }} % full",
                "Records, spilled objects or logs.",
            ),
        ),
    ]


def _record(name: str, expression: str) -> Mapping[str, Any]:
    return {"record": name, "expr": expression}


def _alert(name: str, expression: str, since: str, severity: str, say: tuple[str, str]) -> Mapping[str, Any]:
    return {
        "alert": f"MlopsRay{name}",
        "expr": expression,
        "for": since,
        "labels": {"severity": severity},
        "annotations": dict(zip(("summary", "description"), say, strict=True)),
    }
