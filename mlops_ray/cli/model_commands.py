"""`train`, `retrain`, `reproduce` and `predict`."""

import json
import time
from pathlib import Path
from typing import Annotated

import typer

from mlops_ray.cli.context import AddressOption, Context, HomeOption, JsonOption, command
from mlops_ray.cli.remote import run_remotely
from mlops_ray.errors import RequestError
from mlops_ray.spec import load_spec
from mlops_ray.store import ModelVersionRecord
from mlops_ray.verdict import Verdict

__all__ = ["add_to"]

# 1 and 2 say that a command could not be carried out
_NOT_REPRODUCED = {Verdict.FAIL: 3, Verdict.INCONCLUSIVE: 4}


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command()(train)
    app.command()(retrain)
    app.command()(reproduce)
    app.command()(predict)


def train(
    spec: Annotated[Path, typer.Argument(help="The spec of the model.")],
    *,
    dataset: Annotated[
        str, typer.Option(help="Dataset version: latest, v3, a tag, a branch, a time, snapshot:<id>.")
    ] = "latest",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the newest sweep that did not end.")] = False,
    sweep: Annotated[str | None, typer.Option(help="Go on with this sweep.")] = None,
    address: AddressOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Sweep, pick the best, pass it through the gates, register it as a model version."""
    with command(home=home, as_json=as_json) as context:
        loaded = load_spec(spec)
        if address is not None:
            resuming = [*(["--resume"] if resume else []), *(["--sweep", sweep] if sweep else [])]
            run_remotely(context, address, ["train", str(spec), "--dataset", dataset, *resuming])
            return
        # ray, mlflow, pyiceberg: seconds to import
        from mlops_ray.control.connection import connect
        from mlops_ray.control.operations import register
        from mlops_ray.tracking import code_version
        from mlops_ray.train import run_training

        connect(context.workspace)
        version = run_training(
            loaded,
            context.workspace,
            dataset=dataset,
            resume=resume,
            sweep=sweep,
            actor=context.actor,
            clock=time.time,
            code=code_version(Path.cwd()),
            progress=context.progress,
        )
        # Last, so that a training that is refused changes nothing.
        register(context.store, loaded, actor=context.actor, now_s=context.now_s, replace_known=False)
        context.answer(version, _version_text(version))


def retrain(
    model: Annotated[str, typer.Argument(help="Name of a registered model.")],
    *,
    trigger: Annotated[str | None, typer.Option(help="The trigger this retraining answers.")] = None,
    key: Annotated[
        str | None, typer.Option(help="Name of this cause: a key that was given before starts nothing [default: now].")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Train though a data_quality alert is open.")] = False,
    address: AddressOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ingest what is new, train on it, and begin the delivery if the gates pass."""
    with command(home=home, as_json=as_json) as context:
        if address is not None:
            named = [*(["--trigger", trigger] if trigger else []), *(["--key", key] if key else [])]
            run_remotely(context, address, ["retrain", model, *named, *(["--force"] if force else [])])
            return
        # ray, mlflow, pyiceberg: seconds to import
        from mlops_ray.control.connection import connect
        from mlops_ray.control.manual_retraining import refuse_by_hand, retrain_by_hand
        from mlops_ray.control.retrain_model import retrain_model

        store, told = context.store, {"actor": context.actor, "clock": time.time, "progress": context.progress}
        if trigger is not None:
            connect(context.workspace)
            result = retrain_model(store, context.workspace, model, trigger=trigger, **told)  # type: ignore[arg-type]
        else:
            refuse_by_hand(store, model, key=key, actor=context.actor, now_s=context.now_s, force=force)
            connect(context.workspace)
            result = retrain_by_hand(store, context.workspace, model, key=key, force=force, **told)  # type: ignore[arg-type]
        rollout = result.rollout
        after = f"rollout {rollout.id} has begun" if rollout is not None else f"not delivered: {result.reason}"
        context.answer(result, f"{_version_text(result.version)}\n{after}" if result.version else after)


def reproduce(
    model: Annotated[str, typer.Argument(help="Name of a model, or MODEL@VERSION.")],
    version: Annotated[int | None, typer.Argument(help="Its version.", min=1)] = None,
    *,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train a version again from its record and compare; exit code 0 PASS, 3 FAIL, 4 INCONCLUSIVE."""
    with command(home=home, as_json=as_json) as context:
        name, number = _named_version(model, version)
        context.store.model_version(name, number)
        # ray, mlflow, pyiceberg: seconds to import
        from mlops_ray.control.connection import connect
        from mlops_ray.tracking import code_version
        from mlops_ray.train import reproduce_version

        connect(context.workspace)
        result = reproduce_version(
            context.store,
            context.workspace,
            name,
            number,
            code=code_version(Path.cwd()),
            actor=context.actor,
            clock=time.time,
            progress=context.progress,
        )
        context.answer(result, f"{name} v{number}: {result.verdict}: {result.reason}")
        if result.verdict is not Verdict.PASS:
            raise typer.Exit(_NOT_REPRODUCED[result.verdict])


def _named_version(model: str, version: int | None) -> tuple[str, int]:
    """`churn 4`, `churn@4` and `churn@v4` are one."""
    name, _, after = model.partition("@")
    number = after.removeprefix("v")
    if version is None and number.isdigit() and int(number) > 0:
        return name, int(number)
    if version is not None and not after:
        return name, version
    raise typer.BadParameter(f"expected MODEL VERSION or MODEL@VERSION, found {model!r} and {version}")


def predict(
    model: Annotated[str, typer.Argument(help="Name of a deployed model.")],
    *,
    records: Annotated[str | None, typer.Option(help="JSON: one record, a list of records, or @file.")] = None,
    source: Annotated[str | None, typer.Option("--input", help="Folder or s3:// of Parquet, scored on Ray.")] = None,
    output: Annotated[str | None, typer.Option(help="Where the scored Parquet goes, with --input.")] = None,
    version: Annotated[int | None, typer.Option(help="Model version [default: the champion].")] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Predict records through the served model, or a whole folder of Parquet on Ray."""
    with command(home=home, as_json=as_json) as context:
        if records is not None and source is None:
            _predict_records(context, model, records, version)
        elif source is not None and output is not None and records is None:
            _predict_files(context, model, source, output, version)
        else:
            raise typer.BadParameter("give --records, or --input together with --output")


def _predict_records(context: Context, model: str, records: str, version: int | None) -> None:
    from mlops_ray.control.client import ModelClient

    try:
        text = Path(records[1:]).read_text(encoding="utf-8") if records.startswith("@") else records
        content = json.loads(text)
    except OSError as error:
        raise RequestError(f"--records {records}: cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise RequestError(f"--records is not valid JSON: {error}") from None
    rows = content if isinstance(content, list) else [content]
    answer = ModelClient(context.workspace.serve, model, api_key=context.api_key).predict(rows, version=version)
    lines = [f"{p['score']:.6g}" for p in answer["predictions"]]
    context.answer(answer, f"{model} v{answer['model_version']} ({answer['role']}):\n" + "\n".join(lines))


def _predict_files(context: Context, model: str, source: str, output: str, version: int | None) -> None:
    # ray: seconds to import
    from mlops_ray.control.batch_predict import batch_predict
    from mlops_ray.control.connection import connect

    connect(context.workspace)
    result = batch_predict(context.store, model, source=source, output=output, version=version)
    context.answer(result, f"{result.rows} rows scored by {model} v{result.version} into {result.output}")


def _version_text(version: ModelVersionRecord) -> str:
    metrics = ", ".join(f"{name} {value:.4f}" for name, value in version.metrics.items())
    gates = "; ".join(result["message"] for result in version.gates.get("results", []))
    head = f"{version.model} v{version.version} on {version.dataset}: {metrics}"
    return f"{head}\ngates {version.verdict}: {gates or 'none'}"
