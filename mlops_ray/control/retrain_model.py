"""One retraining: ingest what is new, train on it, deliver it if the gates pass."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mlops_ray.control.guards import Hold
from mlops_ray.control.ledger import OUTCOME, note_on_trigger
from mlops_ray.control.operations import deploy, ingest_batch, stored_spec
from mlops_ray.control.outcomes_in_a_row import VERSION
from mlops_ray.control.training_rows import add_records, window_of
from mlops_ray.control.window_table import base_of
from mlops_ray.data import DatasetTable, DatasetVersion
from mlops_ray.spec import ModelSpec, Workspace
from mlops_ray.store import ModelVersionRecord, RolloutRecord, Store, TriggerRecord
from mlops_ray.tracking import Tracking, code_version, patiently
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
    warnings: tuple[Hold, ...] = ()  # guards that a person who asked for it went past


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

    How far it has come is kept on the trigger: begun again after a crash, it trains nothing twice.

    Raises:
        NotFoundError: no such model or trigger.
        MlopsRayError: as ingest, training and delivery raise.
    """
    spec = stored_spec(store, model)
    run = _Run(store, workspace, spec, trigger, actor, clock, progress)
    answered = store.trigger(trigger) if trigger is not None else None
    if answered is not None:
        progress(f"answers trigger {answered.id}: {answered.evidence.get('message', '')}")
    result = run.made_before(answered) or run.made_now()
    run.note(dataset=result.dataset, outcome=_words(result))
    return result


@dataclass(frozen=True)
class _Run:
    """One retraining as it goes on."""

    store: Store
    workspace: Workspace
    spec: ModelSpec
    trigger: str | None
    actor: str
    clock: Callable[[], float]
    progress: Callable[[str], None]

    def made_before(self, trigger: TriggerRecord | None) -> Retrained | None:
        """What an earlier run of the same job made, if it came as far as a version or an end."""
        number = None if trigger is None else trigger.evidence.get(VERSION)
        if trigger is None or (number is None and OUTCOME not in trigger.evidence):
            return None
        self.progress("goes on from what an earlier run of this job has made")
        if number is None:
            words = str(trigger.evidence[OUTCOME])
            return Retrained(self.spec.name, self.trigger, str(trigger.evidence["trained_on"]), None, None, words)
        return self._delivered(self.store.model_version(self.spec.name, int(number)))

    def made_now(self) -> Retrained:
        """Everything from the ingest on."""
        spec, guards = self.spec, self.spec.retrain.guards
        base = self._ingested()
        new_rows = base.rows - self._champion_rows()
        if new_rows < guards.min_new_rows:
            reason = f"{new_rows} new rows, retrain.guards.min_new_rows asks for {guards.min_new_rows}"
            return Retrained(spec.name, self.trigger, base.ref, None, None, reason)
        trained, dataset = window_of(
            self.store, spec, self.workspace, base, actor=self.actor, clock=self.clock, progress=self.progress
        )
        self._await_tracking()
        version = run_training(
            trained,
            self.workspace,
            dataset=dataset.ref,
            actor=self.actor,
            clock=self.clock,
            code=code_version(Path.cwd()),
            progress=self.progress,
        )
        self.note(version=version.version, dataset=dataset.ref)
        return self._delivered(version)

    def note(self, *, version: int | None = None, dataset: str | None = None, outcome: str | None = None) -> None:
        """Keep it on the trigger, if there is one."""
        if self.trigger is not None:
            note_on_trigger(
                self.store,
                self.trigger,
                actor=self.actor,
                now_s=self.clock(),
                version=version,
                dataset=dataset,
                outcome=outcome,
            )

    def _await_tracking(self) -> None:
        """A job waits for an MLflow that is away: nobody sits before it, and another attempt would meet the same."""
        if self.trigger is None:
            return
        tracking = Tracking(self.workspace.tracking, artifacts=f"{self.workspace.lake.rstrip('/')}/mlflow")
        patiently(tracking, self.workspace.tracking_patience_s, tracking.check)

    def _ingested(self) -> DatasetVersion:
        """The table with all that is new, that of the records too if the spec asks for it."""
        told = {"actor": self.actor, "clock": self.clock, "progress": self.progress}
        base = ingest_batch(self.store, self.spec, self.workspace, **told).version  # type: ignore[arg-type]
        if not self.spec.retrain.data.from_records:
            return base
        return add_records(self.store, self.spec, self.workspace, **told) or base  # type: ignore[arg-type]

    def _delivered(self, version: ModelVersionRecord) -> Retrained:
        spec, name = self.spec, self.spec.name
        if version.verdict != Verdict.PASS:
            return Retrained(name, self.trigger, version.dataset, version, None, f"gates {version.verdict}")
        begun = [r for r in self.store.rollouts(name) if r.version == version.version]
        now_s = self.clock()
        rollout = (
            begun[-1] if begun else deploy(self.store, spec, version=version.version, actor=self.actor, now_s=now_s)
        )
        return Retrained(name, self.trigger, version.dataset, version, rollout, "gates PASS")

    def _champion_rows(self) -> int:
        """Rows of the table when the champion was trained."""
        champion = self.store.champion(self.spec.name)
        if champion is None:
            return 0
        return DatasetTable.of(self.spec, self.workspace).resolve(base_of(champion.dataset, self.spec.table)).rows


def _words(result: Retrained) -> str:
    if result.version is None:
        return f"no version: {result.reason}"
    return f"v{result.version.version}: {result.reason}"
