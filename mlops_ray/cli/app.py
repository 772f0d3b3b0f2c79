"""The command line: parse, one call, one answer. Heavy imports happen inside the commands that need them."""

import os
from importlib import import_module

import typer

__all__ = ["app", "main"]

app = typer.Typer(
    name="mlops-ray",
    help="One YAML spec per model, one Ray cluster, one closed loop.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

_GROUPS = "cluster project data dataset watch model delivery rollout insight key alert loop ops check ci report"

for _module in _GROUPS.split():
    import_module(f"mlops_ray.cli.{_module}_commands").add_to(app)


def main() -> None:
    """Entry point of `mlops-ray`."""
    # Serve reads these when it is imported, in every process: before anything imports it.
    os.environ.setdefault("RAY_SERVE_ENABLE_HA_PROXY", "1")
    os.environ.setdefault("RAY_SERVE_THROUGHPUT_OPTIMIZED", "1")
    os.environ.setdefault("RAY_DATA_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    app()
