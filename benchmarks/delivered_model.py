"""The workload's model in a store, as a training would leave it there, and the way of its versions to the users."""

import json
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import lightgbm
import numpy as np
from numpy.typing import NDArray

from benchmarks.workload import NAMES
from mlops_ray.control.operations import command_rollout, deploy, roll_back_champion, undeploy
from mlops_ray.drift import Column, build_reference
from mlops_ray.lake import Lake
from mlops_ray.model import InputColumn, Signature, TrainedModel, publish_bundle, write_bundle
from mlops_ray.rollout import Phase
from mlops_ray.spec import ModelSpec, Workspace, parse_spec
from mlops_ray.store import Event, ModelVersionRecord, RolloutRecord, Stage, Store

__all__ = ["SIGNATURE", "DeliveredModel", "until"]

SIGNATURE = Signature(tuple(InputColumn(name, "float", nullable=False) for name in NAMES), "binary")
_ACTOR = "benchmark"
_LOOK_S = 0.1
_Found = TypeVar("_Found")


@dataclass(frozen=True)
class DeliveredModel:
    """One model on a running cluster; `folder` holds the workload, `changes` go over the defaults of the spec."""

    workspace: Workspace
    name: str
    folder: Path
    changes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @cached_property
    def store(self) -> Store:
        """The store of the workspace."""
        return Store(self.workspace.store)

    @property
    def url(self) -> str:
        """Where the model answers."""
        return f"{self.workspace.serve}/v2/models/{self.name}"

    @property
    def spec(self) -> ModelSpec:
        """The spec it is delivered by."""
        data = {"source": "/nowhere", "label": "y", "features": dict.fromkeys(NAMES, "float")}
        return parse_spec(json.dumps({"name": self.name, "data": data, **self.changes}))

    @cached_property
    def booster(self) -> lightgbm.Booster:
        """The model of the workload."""
        return lightgbm.Booster(model_file=self.folder / "model.lgb.txt")

    def add_version(self, *, trees: int = 100, kind: str = "") -> int:
        """Keep a version made of the first `trees`; `kind`, a predictor "module:Class", stands before them if given."""
        number = 1 + max((v.version for v in self.store.model_versions(self.name)), default=0)
        files = {"model.lgb.txt": self.booster.model_to_string(num_iteration=trees).encode()}
        described = {"predictor.json": json.dumps({"class": kind}).encode()} if kind else {}
        model = TrainedModel("python" if kind else "lightgbm", {**files, **described})
        digest, uri = self._publish(model, f"version {number}")
        record = ModelVersionRecord(
            model=self.name,
            version=number,
            digest=digest,
            bundle_uri=uri,
            run_id="none",
            dataset=f"mlops.{self.name}@v1",
            code={},
            metrics={},
            gates={},
            verdict="PASS",
            stage=Stage.CANDIDATE,
            created_s=time.time(),
        )
        created = Event("model_version.created", f"{self.name}@{number}", {}, _ACTOR, time.time())
        with self.store.change(created) as change:
            change.put_model_version(record)
        return number

    def scores(self, rows: NDArray[np.float64], *, trees: int) -> NDArray[np.float64]:
        """What a sound version of so many trees says to `rows` (n, 30)."""
        return np.asarray(self.booster.predict(rows, num_iteration=trees))

    def deploy(self, version: int) -> RolloutRecord:
        """Begin the delivery of a version; the control actor carries it out."""
        return deploy(self.store, self.spec, version=version, actor=_ACTOR, now_s=time.time())

    def first_champion(self, *, trees: int = 100) -> int:
        """Make, deliver and await the first version."""
        version = self.add_version(trees=trees)
        self.await_phase(self.deploy(version), Phase.COMPLETED)
        return version

    def await_phase(self, rollout: RolloutRecord, *phases: Phase, timeout_s: float = 120.0) -> RolloutRecord:
        """The rollout as soon as it is in one of these phases.

        Raises:
            RuntimeError: it ended otherwise, or did not get there in time.
        """

        def look() -> RolloutRecord | None:
            found = self.store.rollout(rollout.id)
            if found.phase not in phases and Phase(found.phase).ended:
                raise RuntimeError(f"{rollout.id} is {found.phase}: {found.state['rollout']['reason']}")
            return found if found.phase in phases else None

        return until(look, f"{rollout.id} in {' or '.join(phases)}", timeout_s=timeout_s)

    def command(self, action: str) -> None:
        """Promote, abort, pause or resume what is under way, as `mlops-ray` does."""
        command_rollout(self.store, self.name, action, by=_ACTOR, reason=_ACTOR, now_s=time.time())  # type: ignore[arg-type]

    def roll_back(self) -> None:
        """Bring the previous champion back, as `mlops-ray rollback` does."""
        roll_back_champion(self.store, self.name, by=_ACTOR, reason=_ACTOR, now_s=time.time())

    def retire(self) -> None:
        """Take the model away, and first what may be under way."""
        for rollout in self.store.rollouts(self.name, active_only=True):
            self.command("abort")
            self.await_phase(rollout, *(phase for phase in Phase if phase.ended))
        undeploy(self.store, self.name, by=_ACTOR, reason="it is over", now_s=time.time())

    def _publish(self, model: TrainedModel, card: str) -> tuple[str, str]:
        """Digest and URI of a bundle of the model."""
        matrix = np.load(self.folder / "training.npy")
        columns = [*SIGNATURE.columns(), Column("prediction", "numeric", ())]
        reference = build_reference(columns, np.column_stack((matrix, np.asarray(self.booster.predict(matrix)))))
        with tempfile.TemporaryDirectory() as folder:
            bundle = Path(folder) / "bundle"
            manifest = write_bundle(bundle, model=model, signature=SIGNATURE, reference=reference, card=card)
            return manifest.digest, publish_bundle(bundle, Lake(self.workspace.lake), self.name)


def until(look: Callable[[], _Found | None], what: str, *, timeout_s: float) -> _Found:
    """What `look` finds, as soon as it is something.

    Raises:
        RuntimeError: it did not come in time.
    """
    deadline_s = time.monotonic() + timeout_s
    while not (found := look()):
        if time.monotonic() > deadline_s:
            raise RuntimeError(f"{what} did not come within {timeout_s:g} s")
        time.sleep(_LOOK_S)
    return found
