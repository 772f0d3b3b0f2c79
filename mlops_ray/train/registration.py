"""Everything after a sweep: the holdout, the bundle, MLflow, and at last the store."""

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlops_ray.data import report_files
from mlops_ray.evaluation import GateReport, HoldoutFacts, evaluate_gates, facts_of, with_golden
from mlops_ray.lake import Lake
from mlops_ray.model import Manifest, Predictor, build_probe, publish_bundle, write_bundle
from mlops_ray.store import Event, ModelVersionRecord, Stage
from mlops_ray.tracking import ModelInput, patiently
from mlops_ray.train.attribution import attribution_of
from mlops_ray.train.holdout_fairness import fairness_on_holdout
from mlops_ray.train.model_card import CardFacts, model_card
from mlops_ray.train.plots import Evidence, write_plots
from mlops_ray.train.reference import importance_of, reference_of
from mlops_ray.train.run_record import costs, environment, run_section, sources
from mlops_ray.train.sweep import SweepResult
from mlops_ray.train.training_data import TrainingData, predictions_of
from mlops_ray.train.training_order import TrainingOrder
from mlops_ray.train.trial import load_model

__all__ = ["register_winner"]

_EXAMPLE_ROWS = 3


def register_winner(order: TrainingOrder, data: TrainingData, result: SweepResult, run_id: str) -> ModelVersionRecord:
    """Judge the best trial on the holdout and register it; done before for this run, what came of it then.

    The store is written last.
    """
    known = [v for v in order.store.model_versions(order.spec.name) if v.run_id == run_id]
    if known:
        return known[0]
    with tempfile.TemporaryDirectory(prefix="mlops-ray-") as name:
        folder = Path(name)
        bundle = folder / "bundle"
        predictor = load_model(result.model, folder / "model", signature=data.signature)
        predictions = predictions_of(predictor.predict, data.holdout, data.signature)
        report, manifest = _judge(order, data, result, predictor=predictor, predictions=predictions, folder=bundle)
        uri = publish_bundle(bundle, Lake(order.workspace.lake), order.spec.name)
        facts = facts_of(order.spec.train.task, data.holdout.y, predictions, data.train.y)
        training = _made_how(order, result, manifest, facts)
        _write_artifacts(folder / "artifacts", order, training, bundle)
        evidence = Evidence(
            order.spec.train, data.signature, data.holdout, predictions, result.model, predictor, result.trials
        )
        write_plots(folder / "artifacts" / "plots", evidence, progress=order.progress)
        number = patiently(
            order.tracking,
            order.workspace.tracking_patience_s,
            lambda: _tell_mlflow(
                order, data, result, report=report, manifest=manifest, run_id=run_id, folder=folder, uri=uri
            ),
        )
    return _record(order, report, manifest, number, training=training, run_id=run_id, uri=uri)


def _judge(
    order: TrainingOrder,
    data: TrainingData,
    result: SweepResult,
    *,
    predictor: Predictor,
    predictions: NDArray[np.float64],
    folder: Path,
) -> tuple[GateReport, Manifest]:
    """Look at the holdout, once, through the model as it will be loaded; the bundle goes into `folder`."""
    spec = order.spec
    champion = order.champion.predictions(data.holdout_rows) if order.champion else None
    report = evaluate_gates(spec.gates, spec.train.task, data.holdout.y, predictions, champion, seed=spec.train.seed)
    limits = [limit for limit in spec.fairness if limit.gate]
    report = report.and_fairness(limits, fairness_on_holdout(limits, data.signature, data.holdout, predictions))
    report = _on_golden(order, data, report, predictor)
    messages = "; ".join(result.message for result in report.results) or "none asked for"
    order.progress(f"gates {report.verdict}: {messages}")
    manifest = write_bundle(
        folder,
        model=result.model,
        signature=data.signature,
        reference=reference_of(
            data, predictions, shares=importance_of(result.model, data.signature), window_s=spec.monitor.window.size_s
        ),
        card=model_card(_card_facts(order, data, result, report)),
        attribution=attribution_of(spec, data, result.model.flavor, predictor),
        probe=build_probe(data.signature, data.probe_rows, model=result.model, predict=predictor.predict),
    )
    return report, manifest


def _on_golden(order: TrainingOrder, data: TrainingData, report: GateReport, predictor: Predictor) -> GateReport:
    """The report with what the golden set says, if there is one."""
    if data.golden is None or data.golden_rows is None:
        return report
    train, gates = order.spec.train, order.spec.gates
    compared = order.champion is not None and any(g.on == "golden" and g.not_worse_by is not None for g in gates)
    return with_golden(
        report,
        gates=gates,
        task=train.task,
        labels=data.golden.y,
        candidate=predictions_of(predictor.predict, data.golden, data.signature),
        champion=order.champion.predictions(data.golden_rows) if order.champion is not None and compared else None,
        seed=train.seed,
    )


def _tell_mlflow(
    order: TrainingOrder,
    data: TrainingData,
    result: SweepResult,
    *,
    report: GateReport,
    manifest: Manifest,
    run_id: str,
    folder: Path,
    uri: str,
) -> int:
    """All that MLflow is to have of the winner; told again, the same. The number of the registered version."""
    tracking, name = order.tracking, order.spec.name
    tags = {**order.lineage, "mlops_ray.bundle_digest": manifest.digest, "mlops_ray.verdict": report.verdict.value}
    tracking.log_files(run_id, folder / "artifacts", "")
    tracking.set_tags(run_id, {**tags, "mlops_ray.best_trial": result.best.trial_id})
    measured = {"holdout": report.metrics, "golden": report.golden_metrics or {}}
    tracking.log_once(
        run_id, {f"{on}_{name}": value for on, found in measured.items() for name, value in found.items()}
    )
    number = tracking.registered(name, run_id)
    if number is None:
        number = tracking.log_and_register(
            run_id,
            folder / "bundle",
            name=name,
            inputs=_model_inputs(data),
            tags={**tags, "mlops_ray.bundle_uri": uri},
            classes=data.signature.classes,
            requirements=[f"{package}=={version}" for package, version in order.code.packages.items()],
        )
    tracking.set_alias(name, "candidate", number)
    return number


def _write_artifacts(folder: Path, order: TrainingOrder, training: dict[str, Any], bundle: Path) -> None:
    """Card, record, the data's report and the difference of a dirty tree, as files for the parent run."""
    folder.mkdir()
    for name, text in report_files(order.workspace, order.dataset).items():
        (folder / "validation").mkdir(exist_ok=True)
        (folder / "validation" / name).write_text(text, encoding="utf-8")
    card = (bundle / "card.md").read_text(encoding="utf-8")
    (folder / "card.md").write_text(card + run_section(training), encoding="utf-8")
    (folder / "training.json").write_text(json.dumps(training, indent=1), encoding="utf-8")
    if order.code.diff:
        (folder / "code.diff").write_text(order.code.diff, encoding="utf-8")


def _made_how(order: TrainingOrder, result: SweepResult, manifest: Manifest, facts: HoldoutFacts) -> dict[str, Any]:
    """The record of the training; JSON-ready."""
    spec, best, now_s = order.spec, result.best, order.clock()
    return {
        "sweep": order.state.sweep,
        "trial": best.trial_id,
        "attempts": best.attempt,
        "resumed_from": best.resumed_from,
        "trials": len(result.trials),
        "params": dict(best.params),
        "seed": spec.train.seed,
        # as text: the store sorts keys, and the order of the features is that of the matrix
        "spec": spec.model_dump_json(),
        "dataset": {
            "ref": order.dataset.ref,
            "snapshot_id": order.dataset.snapshot_id,
            "digest": order.dataset.digest,
        },
        "model_files": {name: digest for name, digest in manifest.files.items() if name in result.model.files},
        "sources": sources(spec.train.trainer),
        "environment": environment(),
        "resources": spec.train.resources.model_dump(),
        "holdout": facts.to_json(),
        "started_s": order.state.created_s,
        "ended_s": now_s,
        "costs": costs(spec, order.workspace, result.trials, wall_s=max(0.0, now_s - order.state.created_s)),
    }


def _card_facts(order: TrainingOrder, data: TrainingData, result: SweepResult, report: GateReport) -> CardFacts:
    parts = {"training": data.train, "validation": data.valid, "holdout": data.holdout}
    return CardFacts(
        spec=order.spec,
        dataset=order.dataset,
        code=order.code,
        signature=data.signature,
        params=result.best.params,
        trials=len(result.trials),
        rows={name: len(part.y) for name, part in parts.items()} | {"without a label": data.unlabelled},
        report=report,
        champion=f"version {order.champion.version}" if order.champion else None,
    )


def _model_inputs(data: TrainingData) -> list[ModelInput]:
    rows = data.holdout_rows.slice(0, _EXAMPLE_ROWS)
    return [
        ModelInput(column.name, column.type, column.nullable, rows[column.name].to_pylist())
        for column in data.signature.inputs
    ]


def _record(
    order: TrainingOrder,
    report: GateReport,
    manifest: Manifest,
    number: int,
    *,
    training: dict[str, Any],
    run_id: str,
    uri: str,
) -> ModelVersionRecord:
    spec, now_s = order.spec, order.clock()
    record = ModelVersionRecord(
        model=spec.name,
        version=number,
        digest=manifest.digest,
        bundle_uri=uri,
        run_id=run_id,
        dataset=order.dataset.ref,
        code=order.code.to_json(),
        metrics=dict(report.metrics),
        gates=json.loads(json.dumps(report.to_json())),  # lists for tuples, as the store gives them back
        verdict=report.verdict.value,
        stage=Stage.CANDIDATE,
        created_s=now_s,
        training=json.loads(json.dumps(training)),
    )
    payload = {
        "digest": manifest.digest,
        "dataset": order.dataset.ref,
        "dataset_digest": order.dataset.digest,
        "run_id": run_id,
        "code_sha": order.code.sha,
        "verdict": report.verdict.value,
        "metrics": dict(report.metrics),
    }
    event = Event("model_version.created", f"{spec.name}@{number}", payload, order.actor, now_s)
    with order.store.change(event) as change:
        change.put_model_version(record)
    return record
