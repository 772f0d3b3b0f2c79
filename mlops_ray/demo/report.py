"""What the demo tells at its end: one value for report.json, and the same as a table."""

from collections.abc import Mapping
from typing import Any

from mlops_ray.data import DatasetTable
from mlops_ray.demo.traffic_counts import TrafficCounts
from mlops_ray.errors import AuditError, ClusterError
from mlops_ray.spec import ModelSpec, Workspace
from mlops_ray.store import RolloutRecord, Store

__all__ = ["check", "gather", "report_text"]

_REQUESTS = 2000


def gather(
    store: Store,
    spec: ModelSpec,
    workspace: Workspace,
    *,
    counts: TrafficCounts,
    sample_request: str,
    steps: Mapping[str, float],
    kept: bool,
) -> dict[str, Any]:
    """Everything the store, the table and the traffic driver know of the demo, as JSON values."""
    audit = store.verify()
    return {
        "dataset_versions": [
            {"ref": d.ref, "snapshot_id": d.snapshot_id, "rows": d.rows, "quarantined_rows": d.quarantined_rows}
            for d in DatasetTable.of(spec, workspace).versions()
        ],
        **_decisions(store, spec.name),
        "requests": {
            "sent": counts.sent,
            "answered": counts.answered,
            "failed": counts.failed,
            "retried": counts.retried,
            "first_error": counts.first_error,
        },
        "answers_by_version": dict(counts.by_version),
        "audit": {"events": audit.events, "verified": audit.verified, "problem": audit.problem, "head": audit.head},
        "steps": dict(steps),
        "sample_request": sample_request,
        "look_at": _look_at(spec, workspace, sample_request, kept=kept),
    }


def check(report: Mapping[str, Any]) -> None:
    """The promises of the demo.

    Raises:
        ClusterError: one of them does not hold; the report says what happened.
    """
    requests, audit = report["requests"], report["audit"]
    if requests["failed"] or requests["sent"] < _REQUESTS:
        raise ClusterError(
            f"the story says at least {_REQUESTS} requests and none that failed, found {requests['sent']} sent and "
            f"{requests['failed']} failed ({requests['first_error']})"
        )
    if not audit["verified"]:
        raise AuditError(f"the audit chain does not verify: {audit['problem']}")


def report_text(report: Mapping[str, Any]) -> str:
    """The report as lines for a person."""
    lines = ["", "What happened", "-------------"]
    for d in report["dataset_versions"]:
        lines.append(f"dataset     {d['ref']}: {d['rows']} rows, {d['quarantined_rows']} quarantined")
    for version in report["model_versions"]:
        metrics = ", ".join(f"{k} {v:.3f}" for k, v in version["metrics"].items())
        lines.append(f"model       v{version['version']} on {version['dataset']}: {metrics}; {version['stage']}")
    lines += [f"gates       v{g['version']}: {g['verdict']}: {'; '.join(g['messages'])}" for g in report["gates"]]
    lines += [f"alert       {a['message']}" for a in report["alerts"]]
    retraining = report["retraining"]
    lines.append(f"retraining  job {retraining['job_id']} ({retraining['state']}), because of {retraining['cause']}")
    for rollout in report["rollouts"]:
        marks = " > ".join(f"{m['phase']}{_share(m)} {m['after_s']:.0f}s" for m in rollout["phases"])
        lines += [f"rollout     v{rollout['version']}: {marks}", f"            {rollout['reason']}"]
    requests = report["requests"]
    by_version = ", ".join(f"v{v}: {n}" for v, n in sorted(report["answers_by_version"].items()))
    counts = f"{requests['sent']} sent, {requests['answered']} answered, {requests['failed']} failed"
    lines.append(f"requests    {counts} ({by_version})")
    audit = report["audit"]
    verified = "the chain verifies" if audit["verified"] else audit["problem"]
    lines.append(f"audit       {audit['events']} events, {verified}")
    lines.append(f"steps       {', '.join(f'{name} {seconds:.0f}s' for name, seconds in report['steps'].items())}")
    lines.append(f"in all      {report['wall_s']:.0f} s, {report['peak_memory_bytes'] / 2**30:.1f} GiB at the peak")
    lines += ["", "Where to look", "-------------"]
    lines += [f"{name:12}{place}" for name, place in report["look_at"].items()]
    return "\n".join(lines)


def _decisions(store: Store, model: str) -> dict[str, Any]:
    """What was trained, judged, noticed, started and delivered."""
    versions = store.model_versions(model)
    trigger = next((t for t in store.triggers(model) if t.submission_id is not None), None)
    return {
        "model_versions": [
            {
                "version": v.version,
                "stage": v.stage.value,
                "dataset": v.dataset,
                "metrics": dict(v.metrics),
                "run": v.run_id,
            }
            for v in versions
        ],
        "gates": [
            {"version": v.version, "verdict": v.verdict, "messages": [r["message"] for r in v.gates["results"]]}
            for v in versions
        ],
        "alerts": [
            {"id": a.id, "kind": a.kind, "features": list(a.features), "message": a.message, "state": a.state}
            for a in store.alerts(model)
        ],
        "retraining": {
            "job_id": trigger.submission_id if trigger else None,
            "cause": trigger.cause if trigger else None,
            "alert": trigger.evidence.get("alert") if trigger else None,
            "state": trigger.state if trigger else None,
        },
        "rollouts": [_rollout(r) for r in sorted(store.rollouts(model), key=lambda r: r.created_s)],
    }


def _rollout(record: RolloutRecord) -> dict[str, Any]:
    state = record.state["rollout"]
    begun_s = state["history"][0]["at_s"]
    phases = [
        {"phase": m["phase"], "step": m["step"], "share": m["share"], "after_s": round(m["at_s"] - begun_s, 1)}
        for m in state["history"]
    ]
    reason = state["history"][-1]["reason"]
    return {"id": record.id, "version": record.version, "phase": record.phase, "phases": phases, "reason": reason}


def _look_at(spec: ModelSpec, workspace: Workspace, sample_request: str, *, kept: bool) -> dict[str, str]:
    docs = f"{workspace.serve}/v2/models/{spec.name}/docs"
    commands = {
        "lineage": f"mlops-ray lineage {sample_request}",
        "post-mortem": f"mlops-ray postmortem {spec.name}",
        "report": f"{workspace.home}/report.json",
    }
    if kept:
        return {"MLflow": workspace.mlflow_ui, "Ray": workspace.dashboard, "API docs": docs, **commands}
    again = f"mlops-ray up --home {workspace.home}"
    return {
        "the pages": f"{again}   (the champion comes back with it; then:)",
        "MLflow": "http://127.0.0.1:5000",
        "Ray": "http://127.0.0.1:8265",
        "API docs": f"http://127.0.0.1:8000/v2/models/{spec.name}/docs",
        **commands,
    }


def _share(mark: Mapping[str, Any]) -> str:
    return f" {mark['share']:.0%}" if mark["share"] else ""
