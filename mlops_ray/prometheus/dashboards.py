"""The dashboards: serving, delivery, the loop, and the nodes."""

from collections.abc import Mapping
from typing import Any

from mlops_ray.prometheus.dashboard import Dashboard, Panel, Row

__all__ = ["DASHBOARDS", "dashboards"]

_M = 'model=~"$model"'
_VERSION = "model, version, role"
_RATE = "$__rate_interval"
_ERROR_SHARE = (
    f"sum by (model, version, role) (rate(mlops_ray_errors_total{{{_M}}}[{_RATE}])) / "
    f"sum by (model, version, role) (rate(mlops_ray_asked_total{{{_M}}}[{_RATE}]))"
)
_WHO = "{{model}} v{{version}} {{role}}"
_OF = "{{model}} v{{version}}"


def _rate(metric: str, by: str, more: str = "") -> str:
    return f"sum by ({by}) (rate(mlops_ray_{metric}{{{_M}{more}}}[{_RATE}]))"


def _quantile(quantile: float, name: str) -> str:
    buckets = _rate(f"{name}_bucket", "model, version, role, le")
    return f"histogram_quantile({quantile}, {buckets})"


def _panel(title: str, query: str, legend: str, unit: str = "short", **more: Any) -> Panel:
    return Panel(title, [(query, legend)], unit, **more)


_SERVING = Dashboard(
    "serving",
    "Serving",
    [
        Row(
            "Now",
            [
                _panel("Models", "mlops_ray_models", "models", kind="stat", width=4, height=4),
                _panel(
                    "Requests", f"sum({_rate('requests_total', 'model')})", "", "reqps", kind="stat", width=4, height=4
                ),
                _panel(
                    "5xx",
                    f'sum(rate(mlops_ray_http_responses_total{{{_M},code=~"5.."}}[{_RATE}])) / '
                    f"sum(rate(mlops_ray_http_responses_total{{{_M}}}[{_RATE}])) or vector(0)",
                    "",
                    "percentunit",
                    kind="stat",
                    width=4,
                    height=4,
                ),
                _panel("Replicas", f"sum(mlops_ray_replicas{{{_M}}})", "", kind="stat", width=4, height=4),
                _panel(
                    "Open alerts",
                    f"sum(mlops_ray_alerts_open{{{_M}}}) or vector(0)",
                    "",
                    kind="stat",
                    width=4,
                    height=4,
                ),
                _panel("Engine", 'min(up{job="mlops_ray"})', "", kind="stat", width=4, height=4),
            ],
        ),
        Row(
            "Rate, errors, duration",
            [
                _panel(
                    "Requests by who answered",
                    _rate("requests_total", _VERSION),
                    _WHO,
                    "reqps",
                    stacked=True,
                ),
                _panel(
                    "Share of errors",
                    _ERROR_SHARE,
                    _WHO,
                    "percentunit",
                    description="Requests the version should have answered and did not.",
                ),
                _panel(
                    "HTTP answers by status",
                    _rate("http_responses_total", "model, code"),
                    "{{model}} {{code}}",
                    "reqps",
                    stacked=True,
                ),
                Panel(
                    "Duration",
                    [(_quantile(q, "request_duration_seconds"), f"p{100 * q:g} {_WHO}") for q in (0.5, 0.95, 0.99)],
                    "s",
                ),
                _panel(
                    "Slower than the objective",
                    f"{_rate('slow_total', _VERSION)} / {_rate('requests_total', _VERSION)}",
                    _WHO,
                    "percentunit",
                ),
                _panel(
                    "Refused", _rate("rejected_total", "model, reason"), "{{model}} {{reason}}", "reqps", stacked=True
                ),
            ],
        ),
        Row(
            "Queue and batches",
            [
                _panel("p99 in the queue", _quantile(0.99, "request_queue_seconds"), _WHO, "s"),
                _panel("p99 in the predict call", _quantile(0.99, "request_predict_seconds"), _WHO, "s"),
                _panel(
                    "Rows in a predict call",
                    f"{_rate('batch_rows_sum', 'model, version')} / {_rate('batch_rows_count', 'model, version')}",
                    _OF,
                ),
                Panel(
                    "In flight",
                    [(f"mlops_ray_in_flight{{{_M}}}", _OF), (f"mlops_ray_in_flight_limit{{{_M}}}", f"limit {_OF}")],
                ),
                _panel("Rows that wait", f"mlops_ray_queued_rows{{{_M}}}", _OF),
                _panel("Replicas", f"mlops_ray_replicas{{{_M}}}", _WHO),
            ],
        ),
        Row(
            "Records",
            [
                _panel("Rows answered", _rate("rows_total", _VERSION), _WHO, "rowsps"),
                _panel("Rows not recorded", _rate("records_dropped_total", "model"), "{{model}}", "rowsps"),
                _panel("Records that wait", f"mlops_ray_records_waiting{{{_M}}}", _OF),
            ],
        ),
    ],
)

_DELIVERY = Dashboard(
    "delivery",
    "Delivery",
    [
        Row(
            "Route",
            [
                _panel("Champion", f"mlops_ray_champion_version{{{_M}}}", "{{model}}", kind="stat", width=6, height=4),
                _panel(
                    "Dataset version of the champion",
                    f"mlops_ray_champion_dataset_version{{{_M}}}",
                    "{{model}}",
                    kind="stat",
                    width=6,
                    height=4,
                ),
                _panel(
                    "Phase",
                    f"mlops_ray_rollout_phase{{{_M}}}",
                    "{{model}} v{{version}}: {{phase}}",
                    kind="bargauge",
                    width=12,
                    height=4,
                ),
                Panel(
                    "Share",
                    [
                        (f"mlops_ray_route_share{{{_M}}}", "{{model}}"),
                        (f"mlops_ray_route_mirror{{{_M}}}", "mirrored {{model}}"),
                    ],
                    "percentunit",
                    most=1.0,
                ),
                _panel("Step", f"mlops_ray_rollout_step{{{_M}}}", _OF),
                _panel("Epoch of the route", f"mlops_ray_route_epoch{{{_M}}}", "{{model}}"),
            ],
        ),
        Row(
            "Evidence",
            [
                _panel(
                    "That it is worse",
                    f'mlops_ray_rollout_e_value{{{_M},hypothesis="worse"}}',
                    "{{metric}} " + _OF,
                    description="E-values by metric: 1 is no evidence. It fails at the number of tests / alpha.",
                ),
                _panel(
                    "That it is fine",
                    f'mlops_ray_rollout_e_value{{{_M},hypothesis="fine"}}',
                    "{{metric}} " + _OF,
                    description="E-values by metric: it is fine at 1 / beta.",
                ),
                _panel("Requests in the evidence", f"mlops_ray_rollout_requests{{{_M}}}", "{{side}} " + _OF),
                _panel("Answered by the champion instead", _rate("fallbacks_total", "model, version"), _OF, "reqps"),
                _panel(
                    "Share of errors",
                    _ERROR_SHARE,
                    _WHO,
                    "percentunit",
                ),
                _panel("p99", _quantile(0.99, "request_duration_seconds"), _WHO, "s"),
            ],
        ),
        Row(
            "So far",
            [
                _panel(
                    "Rollouts by phase", f"mlops_ray_rollouts{{{_M}}}", "{{model}} {{phase}}", kind="bargauge", width=12
                ),
                _panel(
                    "Versions by stage", f"mlops_ray_versions{{{_M}}}", "{{model}} {{stage}}", kind="bargauge", width=12
                ),
            ],
        ),
    ],
)

_LOOP = Dashboard(
    "loop",
    "Monitoring and retraining",
    [
        Row(
            "Drift",
            [
                _panel(
                    "Most drifted features (KS)", f'mlops_ray_drift_score{{{_M},statistic="ks"}}', "{{feature}} " + _OF
                ),
                _panel("Largest distance", f"mlops_ray_drift_score_max{{{_M}}}", "{{statistic}} " + _OF),
                Panel(
                    "Features",
                    [
                        (f"mlops_ray_drifted_features{{{_M}}}", f"drifted {_OF}"),
                        (f"mlops_ray_watched_features{{{_M}}}", f"watched {_OF}"),
                    ],
                ),
                _panel("Rows in the newest judgement", f"mlops_ray_judged_rows{{{_M}}}", _OF),
                _panel(
                    "Age of the newest judgement",
                    f"time() - mlops_ray_judged_timestamp_seconds{{{_M}}}",
                    "{{model}}",
                    "s",
                ),
                _panel(
                    "Open alerts",
                    f"sum by (model, kind, severity) (mlops_ray_alerts_open{{{_M}}})",
                    "{{model}} {{kind}} {{severity}}",
                ),
            ],
        ),
        Row(
            "Outcomes",
            [
                _panel("Performance on outcomes", f"mlops_ray_performance{{{_M}}}", "{{metric}} " + _OF),
                _panel("Label coverage", f"mlops_ray_label_coverage{{{_M}}}", _OF, "percentunit", most=1.0),
                _panel("Labelled rows", f"mlops_ray_labelled_rows{{{_M}}}", _OF),
            ],
        ),
        Row(
            "Retraining",
            [
                _panel(
                    "Retrainings by cause and state", f"mlops_ray_retrainings{{{_M}}}", "{{model}} {{cause}} {{state}}"
                ),
                _panel(
                    "Since the newest retraining",
                    f"time() - mlops_ray_retraining_timestamp_seconds{{{_M}}}",
                    "{{model}}",
                    "s",
                ),
                _panel("Events in the audit chain", "mlops_ray_audit_events", "events"),
            ],
        ),
    ],
)

_NODES = Dashboard(
    "nodes",
    "Nodes",
    [
        Row(
            "Ray",
            [
                _panel("CPU", "ray_node_cpu_utilization", "{{ip}}", "percent", most=100.0),
                Panel("Memory", [("ray_node_mem_used", "used {{ip}}"), ("ray_node_mem_total", "of {{ip}}")], "bytes"),
                _panel("Disk", "ray_node_disk_utilization_percentage", "{{ip}}", "percent", most=100.0),
                _panel("GPU", "ray_node_gpus_utilization or vector(0)", "{{ip}} {{GpuIndex}}", "percent"),
                _panel("GPU memory (MB)", "ray_node_gram_used or vector(0)", "{{ip}} {{GpuIndex}}"),
                _panel(
                    "Object store", "sum by (Location) (ray_object_store_memory)", "{{Location}}", "bytes", stacked=True
                ),
                _panel("CPUs in use", 'sum by (State) (ray_resources{Name="CPU"})', "{{State}}", stacked=True),
                _panel("Actors of the loop", "mlops_ray_actor_up", "{{actor}}"),
                _panel("Store", "mlops_ray_store_up", "store"),
            ],
        )
    ],
    by_model=False,
)

DASHBOARDS = (_SERVING, _DELIVERY, _LOOP, _NODES)


def dashboards() -> Mapping[str, Any]:
    """Each dashboard's JSON by the name of its file."""
    return {f"{dashboard.name}.json": dashboard.to_json() for dashboard in DASHBOARDS}
