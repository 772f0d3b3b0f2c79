"""What the store knows about every model, for people: one look, no cluster needed."""

from collections.abc import Mapping, Sequence
from typing import Any

from mlops_ray.control.outcome_text import outcome_lines
from mlops_ray.store import Store

__all__ = ["drift_text", "overview", "overview_text"]

_NEWEST = 3


def overview(store: Store) -> dict[str, Any]:
    """JSON values: for each model its route, versions, rollouts, alerts and retrainings, newest last."""
    return {"models": [_model(store, record.name) for record in store.models()]}


def overview_text(content: Mapping[str, Any]) -> str:
    """The same as a few lines for each model."""
    if not content["models"]:
        return "no models yet; `mlops-ray init NAME` begins with one"
    return "\n".join(line for model in content["models"] for line in _lines(model))


def drift_text(content: Mapping[str, Any]) -> str:
    """A drift status: what is broken, a table of features, and what outcomes say."""
    report = content.get("report")
    if report is None:
        lines = [f"{content['model']}: no window was judged yet"]
    else:
        lines = [f"{content['model']} v{content['version']}: {report['message']}"]
        lines += [_broken(problem) for problem in content.get("quality", ())]
        lines += _features(report["features"])
    together = content.get("multivariate")
    if together:
        lines.append(f"all features together: told from the training's rows with an area of {together['auc']:.2f}")
    performance = content.get("performance")
    if performance and performance["metrics"]:
        metrics = ", ".join(f"{k} {v:.4f}" for k, v in performance["metrics"].items())
        lines.append(f"on {performance['rows']} labelled rows ({performance['coverage']:.0%} of all): {metrics}")
    return "\n".join([*lines, *outcome_lines(content.get("outcomes"))])


def _broken(problem: Mapping[str, Any]) -> str:
    values = problem.get("values")
    return f"BROKEN {problem['message']}" + (f": {values}" if values else "")


def _features(features: Sequence[Mapping[str, Any]]) -> list[str]:
    if not features:
        return []
    lines = [f"{'feature':24} {'KS':>6} {'JS':>6} {'PSI':>7} {'shift':>7}  verdict"]
    for f in features:
        shift = "" if f.get("shift") is None else f"{f['shift']:+.2f}"
        numbers = f"{f['ks']:6.3f} {f['js']:6.3f} {f['psi']:7.3f} {shift:>7}"
        lines.append(f"{f['name']:24} {numbers}  {'DRIFTED' if f['drifted'] else 'fine'}")
    return lines


def _model(store: Store, name: str) -> dict[str, Any]:
    route = store.route(name)
    versions = [
        {"version": v.version, "stage": v.stage.value, "verdict": v.verdict, "dataset": v.dataset, "metrics": v.metrics}
        for v in store.model_versions(name)
    ]
    rollouts = [
        {"id": r.id, "version": r.version, "phase": r.phase, "reason": r.state["rollout"]["reason"]}
        for r in store.rollouts(name)
    ]
    alerts = [{"id": a.id, "state": a.state, "severity": a.severity, "message": a.message} for a in store.alerts(name)]
    triggers = [
        {"id": t.id, "cause": t.cause, "state": t.state, "job": t.submission_id, "reason": t.reason}
        for t in store.triggers(name)
    ]
    return {
        "name": name,
        "champion": route.champion if route else None,
        "canary": route.canary if route else None,
        "share": route.share if route else 0.0,
        "epoch": route.epoch if route else 0,
        "versions": versions,
        "rollouts": rollouts,
        "alerts": alerts,
        "triggers": triggers,
    }


def _lines(model: Mapping[str, Any]) -> list[str]:
    champion = f"champion v{model['champion']}" if model["champion"] else "no champion"
    canary = f", canary v{model['canary']} at {model['share']:.0%}" if model["canary"] else ""
    lines = [f"{model['name']}: {champion}{canary}, {len(model['versions'])} versions"]
    lines += [f"  rollout {r['id']}: {r['phase']}: {r['reason']}" for r in model["rollouts"][-_NEWEST:]]
    lines += [f"  alert {a['id']} ({a['state']}): {a['message']}" for a in model["alerts"][-_NEWEST:]]
    lines += [f"  retraining {t['id']}: {t['state']} {t['reason']}".rstrip() for t in model["triggers"][-_NEWEST:]]
    return lines
