"""`monitoring`: what Prometheus and Grafana need to watch a cluster."""

from pathlib import Path
from typing import Annotated

import typer

from mlops_ray.cli.context import HomeOption, JsonOption, command

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    monitoring = typer.Typer(help="Prometheus and Grafana for a cluster.", no_args_is_help=True)
    monitoring.command()(export)
    monitoring.callback()(_group)
    app.add_typer(monitoring, name="monitoring")


def export(
    folder: Annotated[Path, typer.Argument(help="Where to write; files of these names are replaced.")],
    *,
    ray_discovery: Annotated[
        str, typer.Option(help="Ray's list of its metrics agents [default: of a cluster of `up`, else /tmp/ray's].")
    ] = "",
    key_file: Annotated[str, typer.Option(help="File with an API key of role metrics, where keys are on.")] = "",
    alertmanager: Annotated[str, typer.Option(help="host:port of an Alertmanager.")] = "",
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write scrape config, rules and dashboards for the workspace's cluster."""
    with command(home=home, as_json=as_json) as context:
        # ray: seconds to import
        from mlops_ray.control.local_cluster import LocalCluster
        from mlops_ray.prometheus import Target, monitoring_files

        discovery = ray_discovery or str(LocalCluster(context.workspace).metrics_discovery)
        target = Target(context.workspace.serve, discovery, key_file=key_file, alertmanager=alertmanager)
        files = monitoring_files(target)
        for name, text in files.items():
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        context.answer(
            {"folder": str(folder), "files": sorted(files)},
            f"wrote {len(files)} files below {folder}: `prometheus --config.file={folder}/prometheus.yml`, and "
            f"{folder}/grafana as Grafana's provisioning",
        )


def _group() -> None:
    """A group of one command stays a group."""
