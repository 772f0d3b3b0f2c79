"""One training of benchmarks/electricity.py: the package's own steps in this process, without a cluster or MLflow."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from mlops_ray.drift import ReferenceProfile, build_reference
from mlops_ray.evaluation import GateReport, evaluate_gates, facts_of
from mlops_ray.lake import Lake
from mlops_ray.model import Bundle, encode, load_bundle, publish_bundle, write_bundle
from mlops_ray.spec import ModelSpec
from mlops_ray.store import ModelVersionRecord, Stage
from mlops_ray.train.lightgbm_trainer import train_lightgbm
from mlops_ray.train.training_data import TrainingData, predictions_of, prepare
from mlops_ray.train.trial_context import TrialContext

__all__ = ["Trained", "train_version"]


@dataclass(frozen=True)
class Trained:
    """A version, not yet in any store."""

    record: ModelVersionRecord
    bundle: Bundle
    report: GateReport


def train_version(
    spec: ModelSpec, rows: pa.Table, folder: Path, *, version: int, champion: Bundle | None, now_s: float
) -> Trained:
    """Prepare `rows`, train one trial, judge it on the holdout against the champion, and publish its bundle."""
    data, train = prepare(spec, rows), spec.train
    model = train_lightgbm(_context(spec, data))
    written = folder / f"bundle-{version}"
    draft: dict[str, Any] = {"model": model, "signature": data.signature, "card": ""}
    write_bundle(written, reference=build_reference(data.signature.columns(), data.in_time), **draft)
    predict = load_bundle(Lake(str(folder)).uri_of(written.name)).predict
    predictions = predictions_of(predict, data.holdout, data.signature)
    manifest = write_bundle(written, reference=_reference(data, predictions), **draft)
    theirs = None if champion is None else champion.predict(encode(champion.signature, data.holdout_rows))
    report = evaluate_gates(spec.gates, train.task, data.holdout.y, predictions, theirs, seed=train.seed)
    facts = facts_of(train.task, data.holdout.y, predictions, data.train.y)
    uri = publish_bundle(written, Lake(str(folder / "lake")), spec.name)
    record = ModelVersionRecord(
        model=spec.name,
        version=version,
        digest=manifest.digest,
        bundle_uri=uri,
        run_id=f"run-{version}",
        dataset=f"mlops.electricity@v{version}",
        code={},
        metrics=dict(report.metrics),
        gates={},
        verdict=report.verdict.value,
        stage=Stage.CANDIDATE,
        created_s=now_s,
        training={"holdout": facts.to_json()},
    )
    return Trained(record, load_bundle(uri), report)


def _context(spec: ModelSpec, data: TrainingData) -> TrialContext:
    train = spec.train
    return TrialContext(
        params=dict(train.space),
        task=train.task,
        metric=train.metric,
        maximize=train.maximize,
        seed=train.seed,
        max_iterations=train.max_iterations,
        threads=1,
        device="cpu",
        x_train=data.train.x,
        y_train=data.train.y,
        x_valid=data.valid.x,
        y_valid=data.valid.y,
        categorical=data.signature.categorical,
        signature=data.signature,
        report=lambda _iteration, _metrics: None,
    )


def _reference(data: TrainingData, predictions: Any) -> ReferenceProfile:
    features = build_reference(data.signature.columns(), data.in_time)
    prediction = build_reference([data.signature.prediction_column()], predictions[:, None])
    return ReferenceProfile(rows=features.rows, features=(*features.features, *prediction.features))
