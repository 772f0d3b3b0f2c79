"""Which report is wanted, and what came of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from mlops_ray.spec import ModelSpec, Workspace
from mlops_ray.store import AlertRecord, ModelVersionRecord

__all__ = ["HTML", "JSON", "QUALITY", "Occasion", "ReportOrder", "ReportResult", "alert_order", "window_order"]

HTML, JSON, QUALITY = "report.html", "report.json", "quality.html"

_OUTCOME_WINDOWS = 10  # outcomes are judged over as many windows, so they are shown over as many
_OF_OUTCOMES = ("decay", "concept_drift", "label_drift", "fairness")
_SETTLES_S = 10.0  # what replicas served until an alert is handed over a little later


@dataclass(frozen=True)
class Occasion:
    """The alert that a report is about."""

    id: str
    kind: str
    severity: str
    message: str
    features: tuple[str, ...]
    at_s: float


@dataclass(frozen=True)
class ReportOrder:
    """One report, complete: whoever makes it needs the lake and, to show it there, MLflow."""

    lake: str
    tracking: str
    model: str
    version: int
    bundle_uri: str
    run_id: str
    """Of the version's training, in MLflow."""
    task: str
    since_s: float
    until_s: float
    rows: int
    name: str
    """The alert's id, or the time; of the folder."""
    occasion: Occasion | None = None

    @property
    def folder(self) -> str:
        """Where it lies in the lake."""
        return f"reports/{self.model}/{self.name}"


@dataclass(frozen=True)
class ReportResult:
    """A report that lies in the lake."""

    uri: str
    """Of the HTML page."""
    summary: Mapping[str, Any]
    """Rows, and the columns that Evidently calls drifted; see `make_report`."""
    logged: bool
    """Whether MLflow has it too."""
    problem: str = ""
    """Why it has not."""


def alert_order(spec: ModelSpec, workspace: Workspace, version: ModelVersionRecord, alert: AlertRecord) -> ReportOrder:
    """The report on an alert: of the window that ended when it was raised, the same whenever it is asked for."""
    windows = _OUTCOME_WINDOWS if alert.kind in _OF_OUTCOMES else 1
    occasion = Occasion(alert.id, alert.kind, alert.severity, alert.message, alert.features, alert.at_s)
    return _order(
        spec,
        workspace,
        version,
        since_s=alert.at_s - windows * spec.monitor.window.size_s,
        until_s=alert.at_s + _SETTLES_S,
        name=alert.id,
        occasion=occasion,
    )


def window_order(
    spec: ModelSpec, workspace: Workspace, version: ModelVersionRecord, *, since_s: float, until_s: float
) -> ReportOrder:
    """The report on a span of time."""
    name = datetime.fromtimestamp(until_s, UTC).strftime("%Y-%m-%dT%H-%M-%SZ")
    return _order(spec, workspace, version, since_s=since_s, until_s=until_s, name=name, occasion=None)


def _order(
    spec: ModelSpec,
    workspace: Workspace,
    version: ModelVersionRecord,
    *,
    since_s: float,
    until_s: float,
    name: str,
    occasion: Occasion | None,
) -> ReportOrder:
    return ReportOrder(
        lake=workspace.lake,
        tracking=workspace.tracking,
        model=spec.name,
        version=version.version,
        bundle_uri=version.bundle_uri,
        run_id=version.run_id,
        task=spec.train.task,
        since_s=since_s,
        until_s=until_s,
        rows=spec.monitor.reports.rows,
        name=name,
        occasion=occasion,
    )
