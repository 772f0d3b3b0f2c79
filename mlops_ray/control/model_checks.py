"""Whether a registered version is what it should be: sane by itself, and no worse than a baseline on fixed rows."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

from mlops_ray.errors import MlopsRayError, NotFoundError, PredictionError, SourceError, SpecError
from mlops_ray.evaluation import drop_of, evaluate_gates, scores
from mlops_ray.model import Bundle, Signature, encode, load_bundle, read_probe
from mlops_ray.spec import METRICS, Gate, Metric, ModelSpec
from mlops_ray.store import ModelVersionRecord, Store
from mlops_ray.verdict import Verdict

__all__ = ["CheckReport", "check_model", "check_performance", "chosen_version", "record_baseline"]

_SUM = 1e-6
_SAME = 1e-9


@dataclass(frozen=True)
class CheckReport:
    """What each check says, and all of them together."""

    model: str
    version: int
    verdict: Verdict
    checks: Mapping[str, str]
    """Sentence by check."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """On the fixed rows."""


def check_model(store: Store, model: str, version: int | None = None) -> CheckReport:
    """Load a version, the newest by default, and predict the rows its trainer kept with it.

    PASS: its digest is the registered one, it answers what the trainer's process answered, numbers are finite,
    probabilities are in 0..1 and add up to 1 over the classes, and an answer depends neither on the other rows of its
    call nor on how often it is asked.

    Raises:
        NotFoundError: no such version.
    """
    record = chosen_version(store, model, version)
    checks: dict[str, str] = {}
    try:
        bundle = load_bundle(record.bundle_uri, digest=record.digest)
        checks["loads"] = f"bundle {record.digest[:12]}, flavor {bundle.manifest.flavor}"
        probe = read_probe(record.bundle_uri)
        matrix = probe.matrix if probe is not None else np.zeros((8, bundle.signature.width))
        checks |= _answers(bundle, matrix)
        mismatch = probe.mismatch(bundle.predict(matrix)) if probe is not None else None
        if mismatch is not None:
            raise PredictionError(f"not what was trained: {mismatch}")
        checks["as trained"] = f"{len(matrix)} rows alike" if probe is not None else "it has no rows to compare"
    except MlopsRayError as error:
        return CheckReport(model, record.version, Verdict.FAIL, checks | {"fails": str(error)})
    return CheckReport(model, record.version, Verdict.PASS, checks)


def check_performance(
    store: Store,
    model: str,
    data: Path,
    *,
    baseline: Path,
    max_drop: float,
    version: int | None = None,
    metric: Metric | None = None,
) -> CheckReport:
    """Hold a version, the newest by default, against the baseline on labelled rows, and against the champion if there
    is one.

    FAIL: a metric (the one of training by default) is worse than the baseline by more than `max_drop`, or surely worse
    than the champion by it; INCONCLUSIVE: the rows do not say which of the champion and the version is better.

    Raises:
        NotFoundError: no such version.
        SourceError: no such file, or no baseline of this metric.
        SpecError: a metric that the task does not have.
    """
    record = chosen_version(store, model, version)
    spec = _spec_of(store, model)
    chosen = _metric(spec, metric)
    labels, predictions, metrics = _scored(record, spec, data)
    known = _baseline(baseline, chosen)
    fine = drop_of(chosen, spec.train.task, known=known, now=metrics[chosen]) <= max_drop
    message = f"{chosen} is {metrics[chosen]:.4f}, the baseline {known:.4f}; worse by at most {max_drop:g} may be"
    verdict, checks = Verdict.PASS if fine else Verdict.FAIL, {"baseline": message}
    champion = store.champion(model)
    if champion is not None and champion.version != record.version:
        gate = Gate(metric=chosen, not_worse_by=max_drop)
        theirs = _scored(champion, spec, data)[1]
        paired = evaluate_gates([gate], spec.train.task, labels, predictions, theirs, seed=spec.train.seed)
        checks["champion"] = paired.results[0].message
        verdict = verdict if verdict is Verdict.FAIL else paired.verdict
    return CheckReport(model, record.version, verdict, checks, metrics)


def record_baseline(store: Store, model: str, data: Path, *, baseline: Path, version: int | None = None) -> CheckReport:
    """Write the metrics of a version on these rows into `baseline`; what is held against it is compared from now on.

    Raises:
        NotFoundError: no such version.
        SourceError: no such file.
    """
    record = chosen_version(store, model, version)
    labels, _, metrics = _scored(record, _spec_of(store, model), data)
    content = {"model": model, "version": record.version, "rows": len(labels), "metrics": metrics}
    baseline.parent.mkdir(parents=True, exist_ok=True)
    baseline.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return CheckReport(model, record.version, Verdict.PASS, {"recorded": f"{baseline}: {len(labels)} rows"}, metrics)


def _answers(bundle: Bundle, matrix: NDArray[np.float64]) -> dict[str, str]:
    """What is true of the answers.

    Raises:
        PredictionError: one of it is not.
    """
    answers = bundle.predict(matrix)
    signature = bundle.signature
    said = {"predicts": f"{len(matrix)} rows, {len(signature.inputs)} features"}
    if signature.task != "regression":
        if answers.min() < 0 or answers.max() > 1:
            raise PredictionError(f"expected probabilities in 0..1, found {answers.min():g} to {answers.max():g}")
        said["probabilities"] = f"{answers.min():.4f} to {answers.max():.4f}"
    if signature.task == "multiclass":
        off = float(np.abs(answers.sum(axis=1) - 1).max())
        if off > _SUM:
            raise PredictionError(f"expected probabilities that add up to 1, found a sum that is off by {off:g}")
        said["probabilities"] = f"of {len(signature.classes)} classes, sums within {off:.1g} of 1"
    if not np.array_equal(bundle.predict(matrix), answers):
        raise PredictionError("expected the same answer to the same rows, found another one the second time")
    few = min(8, len(matrix))
    alone = np.concatenate([bundle.predict(matrix[i : i + 1]) for i in range(few)])
    if np.abs(alone - answers[:few]).max() > max(_SAME, _tolerance(bundle)):
        raise PredictionError("expected an answer that does not depend on the other rows of its call")
    return said | {"repeats": "the same alone, together, and again"}


def _tolerance(bundle: Bundle) -> float:
    return 1e-4 if bundle.manifest.flavor == "torch" else 0.0


def chosen_version(store: Store, model: str, version: int | None) -> ModelVersionRecord:
    """That version, or the newest.

    Raises:
        NotFoundError: no such version.
    """
    if version is not None:
        return store.model_version(model, version)
    known = store.model_versions(model)
    if not known:
        raise NotFoundError(f"model {model!r} has no version yet; `mlops-ray train` makes one")
    return known[-1]


def _spec_of(store: Store, model: str) -> ModelSpec:
    record = store.model(model)
    if record is None:
        raise NotFoundError(f"there is no model {model!r}")
    return ModelSpec.model_validate_json(record.spec_json)


def _metric(spec: ModelSpec, metric: Metric | None) -> Metric:
    chosen = metric or spec.train.metric
    known = METRICS[spec.train.task]
    if chosen not in known:
        raise SpecError(f"expected a metric of task {spec.train.task} ({', '.join(known)}), found {chosen!r}")
    return chosen


def _scored(
    record: ModelVersionRecord, spec: ModelSpec, data: Path
) -> tuple[NDArray[np.float64], NDArray[np.float64], dict[str, float]]:
    """Labels, predictions and metrics on the rows of a file."""
    bundle = load_bundle(record.bundle_uri, digest=record.digest)
    table = _read(data)
    if spec.data.label not in table.column_names:
        found = ", ".join(table.column_names)
        raise SourceError(f"{data}: expected the label in column {spec.data.label!r}, found columns {found}")
    labels = _labels(table[spec.data.label], bundle.signature, data)
    predictions = bundle.predict(encode(bundle.signature, table))
    return labels, predictions, scores(spec.train.task, labels, predictions)


def _labels(column: pa.ChunkedArray, signature: Signature, data: Path) -> NDArray[np.float64]:
    values: Sequence[Any] = column.to_pylist()
    places = {name: float(place) for place, name in enumerate(signature.classes)}
    try:
        return np.array([places[str(value)] if places else float(value) for value in values])
    except (KeyError, TypeError, ValueError) as error:
        raise SourceError(f"{data}: a label is none of the model's ({error!r})") from None


def _read(data: Path) -> pa.Table:
    try:
        return pyarrow.csv.read_csv(data) if data.suffix == ".csv" else pyarrow.parquet.read_table(data)
    except (OSError, pa.ArrowInvalid) as error:
        raise SourceError(f"{data}: cannot be read as Parquet or CSV ({str(error).splitlines()[0]})") from None


def _baseline(file: Path, metric: Metric) -> float:
    try:
        return float(json.loads(file.read_text(encoding="utf-8"))["metrics"][metric])
    except (OSError, ValueError, KeyError, TypeError):
        raise SourceError(
            f"{file}: no baseline of {metric}; write it with `mlops-ray check performance ... --record`"
        ) from None
