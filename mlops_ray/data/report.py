"""The report of a validation: what each rule came to and what the columns hold, as JSON and as a page."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from mlops_ray.data.baseline import PastVersion
from mlops_ray.data.checks import RuleResult
from mlops_ray.data.report_page import page
from mlops_ray.data.table import PREFIX, DatasetTable, summary_of
from mlops_ray.data.version import DatasetVersion
from mlops_ray.drift import DriftReport
from mlops_ray.errors import UnknownVersionError
from mlops_ray.lake import Lake
from mlops_ray.spec import Workspace

__all__ = ["ValidationReport", "read_report", "report_files"]


@dataclass(frozen=True)
class ValidationReport:
    """One batch: the rules over it, its columns, and those of the version before."""

    table: str
    run_id: str
    made_s: float
    committed: bool  # False: the batch was refused
    rows: int
    good_rows: int
    files: int
    duplicate_share: float
    results: tuple[RuleResult, ...]
    columns: Mapping[str, Mapping[str, Any]]  # see VersionStatistics
    previous: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # the same of the version before
    history: tuple[PastVersion, ...] = ()  # versions before, oldest first
    label_power: Mapping[str, float | None] = field(default_factory=dict)  # how well a feature predicts the label
    drift: DriftReport | None = None  # from the version before
    quarantine_uri: str | None = None

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is broken and did not refuse the batch."""
        return tuple(r.message for r in self.results if r.verdict == "FAIL" and r.severity == "warn")

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return asdict(self) | {
            "results": [result.to_json() for result in self.results],
            "history": [asdict(past) for past in self.history],
            "drift": self.drift.to_json() if self.drift is not None else None,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`."""
        results = tuple(RuleResult.from_json(result) for result in content["results"])
        history = tuple(PastVersion(**past) for past in content["history"])
        drift = DriftReport.from_json(content["drift"]) if content["drift"] is not None else None
        return cls(**{**content, "results": results, "history": history, "drift": drift})

    def write(self, lake: Lake, path: str) -> str:
        """Write `path`.json and `path`.html; the URI of the page."""
        content = self.to_json()
        lake.write_bytes(f"{path}.json", json.dumps(content, indent=1, allow_nan=False).encode())
        return lake.write_bytes(f"{path}.html", page(content).encode())


def read_report(workspace: Workspace, version: DatasetVersion) -> ValidationReport:
    """The report that was stored with a version.

    Raises:
        UnknownVersionError: the version is not in the catalog any more, or has no report.
    """
    files = report_files(workspace, version)
    if not files:
        raise UnknownVersionError(f"{version.ref}: expected a version with a validation report, found none")
    return ValidationReport.from_json(json.loads(files["report.json"]))


def report_files(workspace: Workspace, version: DatasetVersion) -> dict[str, str]:
    """The texts of `report.json` and `report.html`; nothing for a version that has no report."""
    table = DatasetTable(version.table, catalog=workspace.catalog, lake=workspace.lake).load()
    snapshot = table.snapshot_by_id(int(version.snapshot_id)) if table is not None else None
    path = summary_of(snapshot).get(f"{PREFIX}report.path") if snapshot is not None else None
    if path is None:
        return {}
    lake = Lake(workspace.lake)
    return {f"report.{kind}": lake.read_bytes(f"{path}.{kind}").decode() for kind in ("json", "html")}
