"""Making a model version again from its record, and saying whether the same came out."""

import hashlib
import tempfile
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import ray

from mlops_ray.data import DatasetTable, DatasetVersion, load_version
from mlops_ray.errors import ClusterError, TrainError, UnknownVersionError
from mlops_ray.model import TrainedModel, load_bundle, read_probe
from mlops_ray.spec import ModelSpec, Workspace
from mlops_ray.store import Event, ModelVersionRecord, Store
from mlops_ray.tracking import CodeVersion, Outbox
from mlops_ray.train.run_record import sources, spec_of_record
from mlops_ray.train.sweep import forget_trials, model_of_best, run_trials
from mlops_ray.train.sweep_log import SweepLog
from mlops_ray.train.training_data import TrainingData, prepare
from mlops_ray.train.trial import load_model
from mlops_ray.verdict import Verdict

__all__ = ["GPU_TOLERANCE", "Reproduction", "reproduce_version"]

GPU_TOLERANCE = 1e-3
"""How far predictions of a model trained on a GPU may be apart: absolute up to 1, relative beyond.

The sums of a GPU's kernels are not always taken in one order, and training makes more of a last bit than predicting.
"""


@dataclass(frozen=True)
class Reproduction:
    """What came of it."""

    model: str
    version: int
    verdict: Verdict
    reason: str
    bytes_equal: bool | None = None  # of all files of the model; None: it did not come so far
    rows_compared: int = 0
    largest_difference: float | None = None  # of predictions
    tolerance: float = 0.0  # 0: equal to the bit
    differences: tuple[str, ...] = ()  # between the circumstances then and now


def reproduce_version(
    store: Store,
    workspace: Workspace,
    model: str,
    version: int,
    *,
    code: CodeVersion,
    actor: str,
    clock: Callable[[], float],
    progress: Callable[[str], None],
) -> Reproduction:
    """Train the winning trial of a version again, as its record says, and compare files and predictions.

    PASS: equal to the bit (within `GPU_TOLERANCE` where it was trained on a GPU). FAIL: not so, though code, packages
    and machine are those of the record. INCONCLUSIVE: it cannot be tried, or it came out otherwise and the
    circumstances differ as well. The audit chain tells of it.

    Raises:
        NotFoundError: no such version.
        ClusterError: Ray is not initialised.
        ModelError: the version's bundle is damaged.
    """
    if not ray.is_initialized():
        raise ClusterError("reproducing needs Ray: call ray.init() first, or run it as a Ray job")
    record = store.model_version(model, version)
    result = _tried(workspace, record, code=code, clock=clock, progress=progress)
    payload = {"verdict": result.verdict.value, "reason": result.reason, "differences": list(result.differences)}
    with store.change(Event("model_version.reproduced", f"{model}@{version}", payload, actor, clock())):
        pass  # the event is all there is to write
    return result


def _tried(
    workspace: Workspace,
    record: ModelVersionRecord,
    *,
    code: CodeVersion,
    clock: Callable[[], float],
    progress: Callable[[str], None],
) -> Reproduction:
    unknown = Reproduction(record.model, record.version, Verdict.INCONCLUSIVE, "")
    if not record.training:
        return replace(unknown, reason="it was registered before trainings were recorded")
    if spec_of_record(record.training).train.scheduler == "pbt":
        return replace(unknown, reason="pbt changed its hyperparameters on the way, after weights of other trials")
    spec = _spec_of_winner(record.training)
    differences = _differences(record, spec, code)
    for difference in differences:
        progress(difference)
    try:
        dataset = DatasetTable.of(spec, workspace).resolve(record.dataset)
    except UnknownVersionError as error:
        return replace(unknown, reason=f"its data is gone: {error}", differences=differences)
    problem = _problem(record, dataset, spec)
    if problem:
        return replace(unknown, reason=problem, differences=differences)
    data = prepare(spec, load_version(workspace, dataset, columns=list(spec.data.columns)))
    progress(f"trains {record.model} v{record.version} again on {dataset.ref}")
    try:
        again = _train_again(spec, workspace, data, clock=clock)
    except TrainError as error:
        return replace(unknown, reason=f"it could not be trained again: {error}", differences=differences)
    return _compared(record, spec, data, again, differences)


def _spec_of_winner(training: Mapping[str, Any]) -> ModelSpec:
    """A sweep of the winning trial alone, so that it is trained by what trained it."""
    spec = spec_of_record(training)
    alone = {
        "space": dict(training["params"]),
        "seed": training["seed"],
        "trials": 1,
        "max_concurrent": 1,
        "search": "random",
        "scheduler": "none",
        "time_budget_s": None,
    }
    return spec.model_copy(update={"train": spec.train.model_copy(update=alone)})


def _differences(record: ModelVersionRecord, spec: ModelSpec, code: CodeVersion) -> tuple[str, ...]:
    """What is not as it was then, in sentences."""
    then, found = CodeVersion.from_json(record.code), []
    resumed = record.training.get("resumed_from")
    if resumed is not None:
        # a trainer may draw other lots after that, or round otherwise
        found.append(f"its trial was interrupted and went on from its checkpoint at iteration {resumed}")
    for name, digest in sources(spec.train.trainer).items():
        before = record.training["sources"].get(name)
        if before != digest:
            found.append(f"the code of {name} is another one: then {_short(before)}, now {_short(digest)}")
    for name in sorted({*then.packages, *code.packages}):
        before, now = then.packages.get(name), code.packages.get(name)
        # this package's own code is compared above
        if before != now and name != "mlops-ray":
            found.append(f"{name} was {before or 'missing'}, is {now or 'missing'}")
    if then.python != code.python:
        found.append(f"Python was {then.python}, is {code.python}")
    return tuple(found)


def _problem(record: ModelVersionRecord, dataset: DatasetVersion, spec: ModelSpec) -> str | None:
    """Why it makes no sense to begin."""
    wanted = record.training["dataset"]
    if (dataset.snapshot_id, dataset.digest) != (wanted["snapshot_id"], wanted["digest"]):
        return (
            f"its data is another one: {dataset.ref} had snapshot {wanted['snapshot_id']} and digest "
            f"{_short(wanted['digest'])}, has {dataset.snapshot_id} and {_short(dataset.digest)}"
        )
    there = ray.cluster_resources()
    for name, needed in (("CPU", spec.train.resources.cpus), ("GPU", spec.train.resources.gpus)):
        if there.get(name, 0.0) < needed:
            return f"a trial needs {needed:g} {name}, the cluster has {there.get(name, 0.0):g}"
    return None


def _train_again(
    spec: ModelSpec, workspace: Workspace, data: TrainingData, *, clock: Callable[[], float]
) -> TrainedModel:
    name = f"reproduce-{spec.name}-{uuid.uuid4().hex[:10]}"
    with tempfile.TemporaryDirectory(prefix="mlops-ray-") as folder:
        log = SweepLog(Outbox(Path(folder)), metric=spec.train.metric, planned=1, progress=lambda _: None, clock=clock)
        try:
            run_trials(spec, workspace, data, sweep=name, log=log)
            return model_of_best(spec, workspace, log)
        finally:
            forget_trials(workspace, name)


def _compared(
    record: ModelVersionRecord,
    spec: ModelSpec,
    data: TrainingData,
    again: TrainedModel,
    differences: tuple[str, ...],
) -> Reproduction:
    bundle = load_bundle(record.bundle_uri, digest=record.digest)
    files = {name: hashlib.sha256(content).hexdigest() for name, content in again.files.items()}
    equal = files == {name: bundle.manifest.files.get(name) for name in record.training["model_files"]}
    probe = read_probe(record.bundle_uri)
    matrix = data.holdout.x if probe is None else probe.matrix
    with tempfile.TemporaryDirectory(prefix="mlops-ray-") as folder:
        predictor = load_model(again, Path(folder), signature=bundle.signature)
        answers = np.asarray(predictor.predict(matrix), dtype=np.float64)
    before = np.asarray(bundle.predictor.predict(matrix), dtype=np.float64)
    apart = np.abs(answers - before) / np.maximum(1.0, np.abs(before))
    largest = float(apart.max()) if apart.size else 0.0
    tolerance = GPU_TOLERANCE if spec.train.resources.gpus > 0 else 0.0
    verdict, reason = _judged(equal, largest, len(matrix), tolerance, differences)
    return Reproduction(
        model=record.model,
        version=record.version,
        verdict=verdict,
        reason=reason,
        bytes_equal=equal,
        rows_compared=len(matrix),
        largest_difference=largest,
        tolerance=tolerance,
        differences=differences,
    )


def _judged(
    equal: bool, largest: float, rows: int, tolerance: float, differences: tuple[str, ...]
) -> tuple[Verdict, str]:
    """
    >>> _judged(True, 0.0, 9, 0.0, ())
    (<Verdict.PASS: 'PASS'>, 'every file of the model is equal to the bit')
    >>> _judged(False, 0.5, 9, 0.0, ("numpy was 1, is 2",))[0]
    <Verdict.INCONCLUSIVE: 'INCONCLUSIVE'>
    """
    if equal:
        return Verdict.PASS, "every file of the model is equal to the bit"
    if largest == 0.0:
        return Verdict.PASS, f"predictions of {rows:,} rows are equal to the bit; the files of the model are not"
    if largest <= tolerance:
        return Verdict.PASS, f"predictions of {rows:,} rows are within {tolerance:g} of those then ({largest:.3g})"
    apart = f"predictions of {rows:,} rows are up to {largest:.3g} apart, {tolerance:g} is allowed"
    if differences:
        return Verdict.INCONCLUSIVE, f"{apart}; but not all is as it was: {'; '.join(differences)}"
    return Verdict.FAIL, f"{apart}, with code, packages and data as they were"


def _short(digest: str | None) -> str:
    return digest[:12] if digest else "none"
