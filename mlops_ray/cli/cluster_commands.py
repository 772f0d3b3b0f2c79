"""`up`, `down`, `status`, `demo`."""

import os
from pathlib import Path
from typing import Annotated

import typer

from mlops_ray.cli.context import HomeOption, JsonOption, command

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command()(up)
    app.command()(down)
    app.command()(status)
    app.command()(demo)


def up(
    *,
    cpus: Annotated[int, typer.Option(help="Logical CPUs of the cluster [default: at least 4].")] = 0,
    serve_port: Annotated[int, typer.Option(help="Inference; 0 takes a free port.")] = 8000,
    dashboard_port: Annotated[int, typer.Option(help="Ray dashboard and jobs; 0 takes a free port.")] = 8265,
    gcs_port: Annotated[int, typer.Option(help="Ray's own port; 0 takes a free port.")] = 6380,
    mlflow_port: Annotated[int, typer.Option(help="MLflow's pages; 0 takes a free port.")] = 5000,
    mlflow_ui: Annotated[bool, typer.Option(help="Start MLflow's pages.")] = True,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Start Ray, Serve, the actors of the loop and MLflow's pages on this machine; champions come back."""
    with command(home=home, as_json=as_json) as context:
        # ray: seconds to import
        from mlops_ray.control.local_cluster import LocalCluster, Ports

        ports = Ports(serve=serve_port, dashboard=dashboard_port, gcs=gcs_port, mlflow=mlflow_port)
        wanted = cpus or max(4, os.cpu_count() or 1)
        cluster = LocalCluster(context.workspace)
        workspace = cluster.up(ports, cpus=wanted, mlflow_ui=mlflow_ui, progress=context.progress)
        places = {
            "serve": workspace.serve,
            "dashboard": workspace.dashboard,
            "mlflow": workspace.mlflow_ui if mlflow_ui else None,
            "home": workspace.home,
        }
        text = "\n".join(f"{name:10} {place}" for name, place in places.items() if place)
        context.answer(places, text)


def down(*, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """End everything `up` started; state stays, `up` brings it back."""
    with command(home=home, as_json=as_json) as context:
        # ray: seconds to import
        from mlops_ray.control.local_cluster import LocalCluster

        stopped = LocalCluster(context.workspace).down()
        context.answer({"stopped": stopped}, f"stopped: {', '.join(stopped) or 'nothing was running'}")


def status(*, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Every model: champion, rollout, newest alerts and retrainings."""
    with command(home=home, as_json=as_json) as context:
        from mlops_ray.control.overview import overview, overview_text

        content = overview(context.store)
        context.answer(content, overview_text(content))


def demo(
    *,
    keep: Annotated[bool, typer.Option(help="Leave the cluster running at the end.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take a model round the whole loop on simulated customers, in a fresh workspace [default: .mlops_ray/demo]."""
    with command(home=home, as_json=as_json) as context:
        # ray: seconds to import
        from mlops_ray.demo.report import report_text
        from mlops_ray.demo.scenario import run_demo

        report = run_demo(home or Path(".mlops_ray") / "demo", keep=keep, progress=context.progress)
        context.answer(report, report_text(report))
