"""`check`: whether a version is what it should be; exit code 0 PASS, 3 FAIL, 4 INCONCLUSIVE."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlops_ray.cli.context import AddressOption, Context, HomeOption, JsonOption, command
from mlops_ray.cli.remote import run_remotely
from mlops_ray.verdict import Verdict

if TYPE_CHECKING:
    from mlops_ray.control.model_checks import CheckReport

__all__ = ["add_to"]

# 1 and 2 say that a command could not be carried out
_CODES = {Verdict.FAIL: 3, Verdict.INCONCLUSIVE: 4}
ModelArgument = Annotated[str, typer.Argument(help="Name of the model.")]
VersionOption = Annotated[int | None, typer.Option(help="Its version [default: the newest].", min=1)]


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    check = typer.Typer(
        help="Whether a version is what it should be; exit code 0 PASS, 3 FAIL, 4 INCONCLUSIVE.", no_args_is_help=True
    )
    check.command()(model)
    check.command()(performance)
    check.command()(drift)
    app.add_typer(check, name="check")


def model(
    model: ModelArgument,
    *,
    version: VersionOption = None,
    address: AddressOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """It loads, predicts what was trained, repeats itself, and its probabilities are some."""
    with command(home=home, as_json=as_json) as context:
        if address is not None:
            run_remotely(context, address, ["check", "model", model, *_version(version)])
            return
        # lightgbm, torch: seconds to import
        from mlops_ray.control.model_checks import check_model

        _answer(context, check_model(context.store, model, version))


def performance(
    model: ModelArgument,
    *,
    data: Annotated[Path, typer.Option(help="Labelled rows that never change: Parquet or CSV.")],
    baseline: Annotated[Path, typer.Option(help="Metrics to hold the version against.")],
    max_drop: Annotated[float, typer.Option(min=0, help="How much worse is still fine, in units of the metric.")] = 0.0,
    metric: Annotated[str | None, typer.Option(help="[default: the one of training]")] = None,
    record: Annotated[bool, typer.Option("--record", help="Write the baseline instead.")] = False,
    version: VersionOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """It is no worse than the baseline on fixed rows, nor than the champion, if there is one."""
    with command(home=home, as_json=as_json) as context:
        # lightgbm, torch: seconds to import
        from mlops_ray.control.model_checks import check_performance, record_baseline

        if record:
            _answer(context, record_baseline(context.store, model, data, baseline=baseline, version=version))
            return
        report = check_performance(
            context.store,
            model,
            data,
            baseline=baseline,
            max_drop=max_drop,
            version=version,
            metric=metric,  # type: ignore[arg-type]
        )
        _answer(context, report)


def drift(
    model: ModelArgument,
    *,
    data: Annotated[
        str, typer.Option(help="Parquet file or folder, also s3://, or a dataset version: mlops.churn@v2.")
    ],
    version: Annotated[int | None, typer.Option(help="Its version [default: the champion].", min=1)] = None,
    address: AddressOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Rows that nobody was asked about are like those of the training: no column is broken, none has drifted."""
    with command(home=home, as_json=as_json) as context:
        if address is not None:
            run_remotely(context, address, ["check", "drift", model, "--data", data, *_version(version)])
            return
        # ray, pyiceberg: seconds to import
        from mlops_ray.control.connection import connect
        from mlops_ray.control.drift_check import check_drift

        connect(context.workspace)
        found = check_drift(context.store, context.workspace, model, data, version=version)
        context.answer(found.to_json(), found.text())
        _end(found.verdict)


def _version(version: int | None) -> list[str]:
    return [] if version is None else ["--version", str(version)]


def _answer(context: Context, report: "CheckReport") -> None:
    lines = [f"{report.model} v{report.version}: {report.verdict}"]
    lines += [f"  {name}: {said}" for name, said in report.checks.items()]
    context.answer(report, "\n".join(lines))
    _end(report.verdict)


def _end(verdict: Verdict) -> None:
    if verdict is not Verdict.PASS:
        raise typer.Exit(_CODES[verdict])
