"""What is written down before a sweep starts, so that another process can go on with it."""

import fcntl
import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self

from mlops_ray.data import DatasetVersion
from mlops_ray.errors import ConflictError, NotFoundError, TrainError
from mlops_ray.lake import Lake
from mlops_ray.spec import ModelSpec, Workspace

__all__ = ["SweepState", "find_sweep", "save_sweep", "spec_digest", "sweep_folder", "sweep_lock"]

Phase = Literal["running", "registered", "failed"]


@dataclass(frozen=True)
class SweepState:
    """One sweep; it lies in the lake, `sweeps/<model>/<sweep>.json`."""

    sweep: str
    model: str
    dataset: str  # reference of the dataset version
    snapshot_id: str
    dataset_digest: str
    spec_digest: str
    seed: int
    code_sha: str | None
    actor: str
    created_s: float
    phase: Phase = "running"
    version: int | None = None  # of the model, once it is registered

    def to_json(self) -> dict[str, Any]:
        """JSON-ready dictionary."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Inverse of `to_json`."""
        return cls(**content)

    def ended(self, phase: Phase, version: int | None = None) -> Self:
        """This sweep at its end."""
        return replace(self, phase=phase, version=version)

    def check(self, spec: ModelSpec, dataset: DatasetVersion) -> None:
        """TrainError when the sweep was not of `spec` on `dataset`, or is at its end."""
        if self.phase != "running":
            became = f"made version {self.version}" if self.version is not None else "failed"
            raise TrainError(f"sweep {self.sweep} is at its end: it {became}; leave --resume out to begin another one")
        if self.spec_digest != spec_digest(spec):
            raise TrainError(
                f"sweep {self.sweep} was begun with other `data` or `train` sections than the spec has now; bring them "
                "back, or leave --resume out to begin another one"
            )
        if (self.snapshot_id, self.dataset_digest) != (dataset.snapshot_id, dataset.digest):
            raise TrainError(
                f"sweep {self.sweep} was begun on {self.dataset} (snapshot {self.snapshot_id}), found {dataset.ref} "
                f"(snapshot {dataset.snapshot_id}); leave --dataset out, or --resume"
            )


def spec_digest(spec: ModelSpec) -> str:
    """sha256 of the parts of a spec that shape a sweep."""
    content = spec.model_dump(mode="json", include={"name", "data", "train"})
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def save_sweep(lake: Lake, state: SweepState) -> None:
    """Write `state`, whole or not at all."""
    lake.write_bytes(f"sweeps/{state.model}/{state.sweep}.json", json.dumps(state.to_json(), indent=1).encode())


def find_sweep(lake: Lake, model: str, sweep: str | None) -> SweepState:
    """The sweep of that id; without one the newest sweep of `model` that is not at its end.

    Raises:
        NotFoundError: there is none.
    """
    found = [SweepState.from_json(json.loads(lake.read_bytes(f))) for f in lake.list(f"sweeps/{model}", ".json")]
    found.sort(key=lambda state: state.created_s)
    wanted = [s for s in found if (s.sweep == sweep if sweep else s.phase == "running")]
    if wanted:
        return wanted[-1]
    known = ", ".join(f"{s.sweep} ({s.phase})" for s in found[-5:]) or "none yet"
    asked = f"sweep {sweep!r}" if sweep else "unfinished sweep"
    raise NotFoundError(f"model {model!r} has no {asked} to resume; its sweeps: {known}")


def sweep_folder(workspace: Workspace, sweep: str) -> Path:
    """Where the driver of a sweep keeps what it has not told MLflow yet."""
    return Path(workspace.home) / "sweeps" / sweep


@contextmanager
def sweep_lock(workspace: Workspace, sweep: str) -> Iterator[None]:
    """For as long as the block and this process last, no other process of this host drives the sweep.

    Raises:
        ConflictError: another process drives it.
    """
    folder = sweep_folder(workspace, sweep)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ConflictError(f"sweep {sweep} is running in another process; wait for it, or end it") from None
        yield
