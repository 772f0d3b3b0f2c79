"""What every step of one training needs."""

from collections.abc import Callable
from dataclasses import dataclass

from mlops_ray.data import DatasetVersion
from mlops_ray.spec import ModelSpec, Workspace
from mlops_ray.store import Store
from mlops_ray.tracking import CodeVersion, Tracking
from mlops_ray.train.champion import Champion
from mlops_ray.train.sweep_state import SweepState

__all__ = ["TrainingOrder"]


@dataclass(frozen=True)
class TrainingOrder:
    """One training, before it is carried out."""

    spec: ModelSpec
    workspace: Workspace
    store: Store
    tracking: Tracking
    dataset: DatasetVersion
    code: CodeVersion
    champion: Champion | None
    state: SweepState
    actor: str
    clock: Callable[[], float]
    progress: Callable[[str], None]

    @property
    def lineage(self) -> dict[str, str]:
        """Tags of the run and of the registered version that lead back to data and code."""
        code, version = self.code, self.dataset
        return {
            "mlops_ray.dataset": version.ref,
            "mlops_ray.snapshot_id": version.snapshot_id,
            "mlops_ray.dataset_digest": version.digest,
            "mlops_ray.code_sha": code.sha or "unknown",
            "mlops_ray.code_dirty": str(code.dirty).lower(),
            "mlops_ray.lock_digest": code.lock_digest,
            "mlops_ray.seed": str(self.spec.train.seed),
            "mlops_ray.actor": self.actor,
        } | ({"mlflow.source.git.commit": code.sha} if code.sha else {})
