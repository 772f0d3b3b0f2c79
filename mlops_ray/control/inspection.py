"""What people ask about a rollout: its verdicts metric by metric, and who meets which version. Reads the store only."""

from collections.abc import Mapping, Sequence
from typing import Any

from mlops_ray.control.operations import stored_spec
from mlops_ray.control.rollout_record import load_state
from mlops_ray.errors import NotFoundError
from mlops_ray.rollout import assess, bucket, on_canary
from mlops_ray.store import RolloutRecord, Store

__all__ = ["analysis_of", "analysis_text", "assignments", "assignments_text"]


def analysis_of(store: Store, model: str, rollout_id: str | None) -> dict[str, Any]:
    """JSON values: where a rollout stands and the verdict on each metric, with the evidence as it was saved last.

    Raises:
        NotFoundError: no such model or rollout.
    """
    spec, rollout = stored_spec(store, model), _chosen(store, model, rollout_id)
    state, _ = load_state(rollout)
    assessment = assess(state.evidence, spec.rollout)
    return {
        "rollout": rollout.id,
        "model": model,
        "version": rollout.version,
        "champion": rollout.previous,
        "strategy": spec.rollout.strategy,
        "phase": rollout.phase,
        "step": state.step + 1,
        "steps": len(spec.rollout.plan),
        "share": state.share,
        "mirror": state.mirror,
        "reason": state.reason,
        "verdict": assessment.verdict.value,
        "metrics": [
            {"name": m.name, "kind": m.kind, "critical": m.critical, "verdict": m.verdict.value, "message": m.message}
            for m in assessment.metrics
        ],
        "warnings": list(assessment.warnings),
        "canary_requests": state.evidence.canary_requests,
        "champion_requests": state.evidence.champion_requests,
    }


def analysis_text(content: Mapping[str, Any]) -> str:
    """The same for people."""
    mirrored = f", mirror {content['mirror']:g}" if content["mirror"] else ""
    step = f"step {content['step']} of {content['steps']}, " if content["steps"] else ""
    lines = [
        f"{content['rollout']}: {content['strategy']} of {content['model']} v{content['version']} beside "
        f"v{content['champion']}, {content['phase']}, {step}share {content['share']:g}{mirrored}",
        f"  {content['reason']}",
    ]
    lines += [
        f"  {m['verdict']:12} {m['message']}{'' if m['critical'] else ' (reported only)'}" for m in content["metrics"]
    ]
    return "\n".join([*lines, *(f"  warning: {warning}" for warning in content["warnings"])])


def assignments(
    store: Store, model: str, units: Sequence[str], *, rollout_id: str | None, share: float | None
) -> dict[str, Any]:
    """Who of `units` meets the new version of a rollout: the very function that replicas use, run offline.

    Args:
        rollout_id: the newest rollout by default.
        share: of the units; by default the largest that the rollout had.

    Raises:
        NotFoundError: no such model or rollout.
    """
    stored_spec(store, model)
    rollout = _chosen(store, model, rollout_id)
    state, _ = load_state(rollout)
    used = max((mark.share for mark in state.history), default=0.0) if share is None else share
    return {
        "model": model,
        "rollout": rollout.id,
        "share": used,
        "units": [
            {
                "unit": unit,
                "bucket": bucket(unit, rollout.id),
                "version": rollout.version if on_canary(unit, rollout.id, used) else rollout.previous,
            }
            for unit in units
        ],
    }


def assignments_text(content: Mapping[str, Any]) -> str:
    """The same for people."""
    lines = [f"{content['rollout']} with share {content['share']:g}:"]
    return "\n".join([*lines, *(f"  {u['unit']}: v{u['version']} (bucket {u['bucket']})" for u in content["units"])])


def _chosen(store: Store, model: str, rollout_id: str | None) -> RolloutRecord:
    rollouts = [r for r in store.rollouts(model) if rollout_id in (None, r.id)]
    if not rollouts:
        known = ", ".join(r.id for r in store.rollouts(model)) or "none"
        raise NotFoundError(f"model {model!r} has no rollout {rollout_id or ''}; there is {known}")
    return rollouts[-1]
