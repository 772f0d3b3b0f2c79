"""From one dataset version to one gated model version: the whole training, in the order it happens."""

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import ray
from numpy.typing import NDArray

from mlops_ray.data import DatasetTable, DatasetVersion, load_version, report_files
from mlops_ray.drift import Column, ReferenceProfile, build_reference
from mlops_ray.errors import ClusterError
from mlops_ray.evaluation import GateReport, evaluate_gates
from mlops_ray.lake import Lake
from mlops_ray.model import Manifest, build_probe, publish_bundle, write_bundle
from mlops_ray.spec import ModelSpec, Workspace
from mlops_ray.store import Event, ModelVersionRecord, Stage, Store
from mlops_ray.tracking import CodeVersion, DatasetInput, ModelInput, RunStatus, Tracking
from mlops_ray.train.champion import Champion, load_champion
from mlops_ray.train.model_card import CardFacts, model_card
from mlops_ray.train.search import param_space
from mlops_ray.train.sweep import SweepResult, run_sweep, warm_up_workers
from mlops_ray.train.trainers import check_params, find_trainer
from mlops_ray.train.training_data import TrainingData, prepare
from mlops_ray.train.trial import load_model

__all__ = ["run_training"]

_EXAMPLE_ROWS = 3


@dataclass(frozen=True)
class _Training:
    """What every step of one training needs."""

    spec: ModelSpec
    workspace: Workspace
    store: Store
    tracking: Tracking
    dataset: DatasetVersion
    code: CodeVersion
    champion: Champion | None
    actor: str
    clock: Callable[[], float]
    progress: Callable[[str], None]


def run_training(
    spec: ModelSpec,
    workspace: Workspace,
    *,
    dataset: str = "latest",
    actor: str,
    clock: Callable[[], float],
    code: CodeVersion,
    progress: Callable[[str], None],
) -> ModelVersionRecord:
    """Train `spec` on one dataset version and register the best trial as a model version with its gates' verdict.

    Until its last step nothing is in the store; a version that its gates refuse is kept all
    the same, with that verdict, and delivery refuses it later.

    Args:
        dataset: `latest`, `v3`, a tag, a branch, a time or another reference `DatasetTable.resolve` knows.
        actor: who asks, for the audit chain.
        clock: Unix time in seconds.
        progress: gets a sentence now and then.

    Raises:
        ClusterError: Ray is not initialised.
        TrackingError: MLflow does not answer; nothing was started.
        UnknownVersionError, SchemaError, ValidationError: the data cannot be trained on; nothing was started.
        TrainError: the trainer is not there, or no trial came to its end.
        GateError: a gate compares with a champion that cannot be compared with.
    """
    if not ray.is_initialized():
        raise ClusterError("a training needs Ray: call ray.init() first, or run it as a Ray job")
    find_trainer(spec.train.trainer)
    warm_up_workers(spec.train)
    check_params(spec.train.trainer, spec.train.space)
    param_space(spec.train.space)
    tracking = Tracking(workspace.tracking, artifacts=f"{workspace.lake.rstrip('/')}/mlflow", clock=clock)
    tracking.check()
    store = Store(workspace.store)
    store.create()
    version = DatasetTable.of(spec, workspace).resolve(dataset)
    champion = load_champion(store.champion(spec.name), spec, version, progress=progress)
    training = _Training(spec, workspace, store, tracking, version, code, champion, actor, clock, progress)
    return _train(training)


def _train(training: _Training) -> ModelVersionRecord:
    data = _read(training)
    with _sweep_run(training) as run_id:
        for name, text in report_files(training.workspace, training.dataset).items():
            training.tracking.log_text(run_id, text, f"validation/{name}")
        result = run_sweep(
            training.spec,
            training.workspace,
            data,
            tracking=training.tracking,
            run_id=run_id,
            progress=training.progress,
        )
        with tempfile.TemporaryDirectory(prefix="mlops-ray-") as folder:
            return _register(training, data, result, run_id, Path(folder))


def _read(training: _Training) -> TrainingData:
    spec, version = training.spec, training.dataset
    champion_inputs = training.champion.bundle.signature.names if training.champion else ()
    wanted = dict.fromkeys((*spec.data.columns, *champion_inputs))
    table = load_version(training.workspace, version, columns=[c for c in wanted if c in version.schema])
    data = prepare(spec, table)
    left_out = f", {data.unlabelled:,} left out without a label" if data.unlabelled else ""
    training.progress(
        f"{version.ref}: {len(data.train.y):,} rows to train, {len(data.valid.y):,} to compare trials, "
        f"{len(data.holdout.y):,} held out{left_out}"
    )
    if data.holdout_overlap:
        training.progress(f"warning: {data.holdout_overlap:.2%} of the holdout has features of a training row")
    return data


@contextmanager
def _sweep_run(training: _Training) -> Iterator[str]:
    """The parent run in MLflow; it ends with what becomes of the block."""
    version, train = training.dataset, training.spec.train
    run_id = training.tracking.start_sweep(
        training.spec.name,
        name=f"{training.spec.name} on {version.ref}",
        tags=_lineage(training),
        params={
            "trainer": train.trainer,
            "trials": train.trials,
            "search": train.search,
            "scheduler": train.scheduler,
            "max_iterations": train.max_iterations,
            "metric": train.metric,
            "seed": train.seed,
        },
        dataset=DatasetInput(
            name=version.ref,
            digest=version.digest,
            source_uri=f"{training.workspace.lake}#{version.table}?snapshot_id={version.snapshot_id}",
            schema=version.schema,
        ),
    )
    status: RunStatus = "KILLED"
    try:
        yield run_id
        status = "FINISHED"
    except Exception:
        status = "FAILED"
        raise
    finally:
        training.tracking.end_run(run_id, status)


def _register(
    training: _Training, data: TrainingData, result: SweepResult, run_id: str, folder: Path
) -> ModelVersionRecord:
    """Everything after the sweep; the store is written last."""
    bundle = folder / "bundle"
    report, manifest = _judge(training, data, result, bundle)
    uri = publish_bundle(bundle, Lake(training.workspace.lake), training.spec.name)
    tags = {**_lineage(training), "mlops_ray.bundle_digest": manifest.digest, "mlops_ray.verdict": report.verdict.value}
    tracking = training.tracking
    tracking.log_text(run_id, (bundle / "card.md").read_text(encoding="utf-8"), "card.md")
    tracking.set_tags(run_id, {**tags, "mlops_ray.best_trial": result.best.trial_id})
    tracking.log_metrics(run_id, {f"holdout_{name}": value for name, value in report.metrics.items()}, step=0)
    number = tracking.log_and_register(
        run_id,
        bundle,
        name=training.spec.name,
        inputs=_model_inputs(data),
        tags={**tags, "mlops_ray.bundle_uri": uri},
        requirements=[f"{name}=={version}" for name, version in training.code.packages.items()],
    )
    tracking.set_alias(training.spec.name, "candidate", number)
    return _record(training, report, manifest, number, run_id=run_id, uri=uri)


def _judge(training: _Training, data: TrainingData, result: SweepResult, folder: Path) -> tuple[GateReport, Manifest]:
    """Look at the holdout, once, through the model as it will be loaded; the bundle goes into `folder`."""
    spec = training.spec
    predictor = load_model(result.model, folder.with_name("model"), signature=data.signature)
    predictions = np.asarray(predictor.predict(data.holdout.x), dtype=np.float64)
    champion = training.champion.predictions(data.holdout_rows) if training.champion else None
    report = evaluate_gates(spec.gates, spec.train.task, data.holdout.y, predictions, champion, seed=spec.train.seed)
    messages = "; ".join(result.message for result in report.results) or "none asked for"
    training.progress(f"gates {report.verdict}: {messages}")
    manifest = write_bundle(
        folder,
        model=result.model,
        signature=data.signature,
        reference=_reference(data, predictions),
        card=model_card(_card_facts(training, data, result, report)),
        probe=build_probe(data.signature, data.probe_rows, model=result.model, predict=predictor.predict),
    )
    return report, manifest


def _reference(data: TrainingData, predictions: NDArray[np.float64]) -> ReferenceProfile:
    """Features as the model was trained on them; predictions on rows it was not trained on, as in production."""
    features = build_reference(data.signature.columns(), data.in_time)
    prediction = build_reference([Column("prediction", "numeric", ())], predictions[:, None])
    return ReferenceProfile(rows=features.rows, features=(*features.features, *prediction.features))


def _card_facts(training: _Training, data: TrainingData, result: SweepResult, report: GateReport) -> CardFacts:
    parts = {"training": data.train, "validation": data.valid, "holdout": data.holdout}
    return CardFacts(
        spec=training.spec,
        dataset=training.dataset,
        code=training.code,
        signature=data.signature,
        params=result.best.params,
        trials=len(result.trials),
        rows={name: len(part.y) for name, part in parts.items()} | {"without a label": data.unlabelled},
        report=report,
        champion=f"version {training.champion.version}" if training.champion else None,
    )


def _model_inputs(data: TrainingData) -> list[ModelInput]:
    rows = data.holdout_rows.slice(0, _EXAMPLE_ROWS)
    return [
        ModelInput(column.name, column.type, column.nullable, rows[column.name].to_pylist())
        for column in data.signature.inputs
    ]


def _lineage(training: _Training) -> dict[str, str]:
    code, version = training.code, training.dataset
    return {
        "mlops_ray.dataset": version.ref,
        "mlops_ray.snapshot_id": version.snapshot_id,
        "mlops_ray.dataset_digest": version.digest,
        "mlops_ray.code_sha": code.sha or "unknown",
        "mlops_ray.code_dirty": str(code.dirty).lower(),
        "mlops_ray.lock_digest": code.lock_digest,
        "mlops_ray.seed": str(training.spec.train.seed),
        "mlops_ray.actor": training.actor,
    } | ({"mlflow.source.git.commit": code.sha} if code.sha else {})


def _record(
    training: _Training, report: GateReport, manifest: Manifest, number: int, *, run_id: str, uri: str
) -> ModelVersionRecord:
    spec, now_s = training.spec, training.clock()
    record = ModelVersionRecord(
        model=spec.name,
        version=number,
        digest=manifest.digest,
        bundle_uri=uri,
        run_id=run_id,
        dataset=training.dataset.ref,
        code=training.code.to_json(),
        metrics=dict(report.metrics),
        gates=json.loads(json.dumps(report.to_json())),  # lists for tuples, as the store gives them back
        verdict=report.verdict.value,
        stage=Stage.CANDIDATE,
        created_s=now_s,
    )
    payload = {
        "digest": manifest.digest,
        "dataset": training.dataset.ref,
        "dataset_digest": training.dataset.digest,
        "run_id": run_id,
        "code_sha": training.code.sha,
        "verdict": report.verdict.value,
        "metrics": dict(report.metrics),
    }
    event = Event("model_version.created", f"{spec.name}@{number}", payload, training.actor, now_s)
    with training.store.change(event) as change:
        change.put_model_version(record)
    return record
