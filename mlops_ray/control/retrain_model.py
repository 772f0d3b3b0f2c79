"""One retraining: ingest what is new, train on it, deliver it if the gates pass."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mlops_ray.control.operations import deploy, ingest_batch, stored_spec
from mlops_ray.data import DatasetTable
from mlops_ray.spec import ModelSpec, Workspace
from mlops_ray.store import ModelVersionRecord, RolloutRecord, Store
from mlops_ray.tracking import code_version
from mlops_ray.train import run_training
from mlops_ray.verdict import Verdict

__all__ = ["Retrained", "retrain_model"]


@dataclass(frozen=True)
class Retrained:
    """What came of a retraining; `reason` says why there is no version or no rollout."""

    model: str
    trigger: str | None
    dataset: str
    version: ModelVersionRecord | None
    rollout: RolloutRecord | None
    reason: str


def retrain_model(
    store: Store,
    workspace: Workspace,
    model: str,
    *,
    trigger: str | None,
    actor: str,
    clock: Callable[[], float],
    progress: Callable[[str], None],
) -> Retrained:
    """Ingest, train and begin the delivery of `model` by the spec it is registered with.

    Raises:
        NotFoundError: no such model or trigger.
        MlopsRayError: as ingest, training and delivery raise.
    """
    spec = stored_spec(store, model)
    if trigger is not None:
        progress(f"answers trigger {store.trigger(trigger).id}: {store.trigger(trigger).evidence.get('message', '')}")
    ingested = ingest_batch(store, spec, workspace, actor=actor, clock=clock, progress=progress)
    dataset = ingested.version
    new_rows = dataset.rows - _champion_rows(store, spec, workspace)
    if new_rows < spec.retrain.guards.min_new_rows:
        reason = f"{new_rows} new rows, retrain.guards.min_new_rows asks for {spec.retrain.guards.min_new_rows}"
        return Retrained(model, trigger, dataset.ref, None, None, reason)
    version = run_training(
        spec,
        workspace,
        dataset=dataset.ref,
        actor=actor,
        clock=clock,
        code=code_version(Path.cwd()),
        progress=progress,
    )
    if version.verdict != Verdict.PASS:
        return Retrained(model, trigger, dataset.ref, version, None, f"gates {version.verdict}")
    rollout = deploy(store, spec, version=version.version, actor=actor, now_s=clock())
    return Retrained(model, trigger, dataset.ref, version, rollout, "gates PASS")


def _champion_rows(store: Store, spec: ModelSpec, workspace: Workspace) -> int:
    """Rows of the dataset version the champion was trained on."""
    champion = store.champion(spec.name)
    return DatasetTable.of(spec, workspace).resolve(champion.dataset).rows if champion is not None else 0
