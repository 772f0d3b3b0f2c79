"""Whether rows that lie in files are like those a version was trained on: the judgement of served traffic, offline."""

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import ray.data
from ray.exceptions import RayError

from mlops_ray.control.model_checks import chosen_version
from mlops_ray.control.operations import stored_spec
from mlops_ray.control.overview import drift_text
from mlops_ray.data import DatasetTable, read_version, split_reference
from mlops_ray.data.ray_data import quiet
from mlops_ray.drift import DriftReport, Profile, QualityProblem, ReferenceProfile, check_quality, judge
from mlops_ray.errors import MlopsRayError, SourceError, SpecError
from mlops_ray.lake import Lake
from mlops_ray.monitor.offline_drift import offline_reference, profile_of
from mlops_ray.monitor.reference import load_watched
from mlops_ray.monitor.yardstick import PREDICTION
from mlops_ray.spec import Workspace
from mlops_ray.store import Store
from mlops_ray.verdict import Verdict

__all__ = ["DriftCheck", "check_drift"]


@dataclass(frozen=True)
class DriftCheck:
    """What the rows are like. FAIL: a column is broken or drifted; INCONCLUSIVE: too few rows to say."""

    model: str
    version: int
    data: str
    report: DriftReport
    problems: tuple[QualityProblem, ...]

    @property
    def verdict(self) -> Verdict:
        """Of quality and drift together."""
        return Verdict.FAIL if self.problems else self.report.verdict

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, named as those of served traffic are."""
        return {
            "model": self.model,
            "version": self.version,
            "data": self.data,
            "verdict": self.verdict.value,
            "report": self.report.to_json(),
            "quality": [problem.to_json() for problem in self.problems],
        }

    def text(self) -> str:
        """The same as lines."""
        return drift_text(self.to_json())


def check_drift(store: Store, workspace: Workspace, model: str, data: str, *, version: int | None = None) -> DriftCheck:
    """Judge rows against the reference of a version, with the limits of the model's spec.

    Ray Data reads the rows block by block and each task folds its own, so memory does not grow with them; needs an
    initialised Ray.

    Args:
        store: of the workspace.
        workspace: where dataset versions lie.
        model: its name.
        data: a Parquet file or folder, also s3://, or a dataset version such as mlops.churn@v2.
        version: of the model; the champion by default, and the newest before there is one.

    Raises:
        NotFoundError: no such model or version.
        SourceError: it cannot be read.
        SchemaError: a feature is missing.
        SpecError: the model takes pictures.
    """
    spec, champion = stored_spec(store, model), store.champion(model)
    number = champion.version if version is None and champion is not None else version
    record = chosen_version(store, model, number)
    watched, monitor = load_watched(record), spec.monitor
    if watched.signature.image is not None:
        raise SpecError("check drift: pictures in files are not judged; the traffic of their model is")
    rows = _rows(data, workspace)
    reference = offline_reference(watched.reference, rows)
    profile = _profile(reference, rows, data)
    wanted = watched.columns_of(monitor.features)
    problems = check_quality(reference, profile, monitor.quality, features=wanted) if monitor.quality.enabled else ()
    broken = frozenset(problem.feature for problem in problems)
    report = judge(
        reference,
        profile,
        monitor.thresholds,
        min_rows=monitor.window.min_rows,
        features=[feature.name for feature in reference.features if feature.name in (*wanted, PREDICTION)],
        broken=broken | {PREDICTION} if broken else broken,
    )
    return DriftCheck(model, record.version, data, report, problems)


def _profile(reference: ReferenceProfile, rows: ray.data.Dataset, data: str) -> Profile:
    try:
        return profile_of(reference, rows)
    except RayError as error:  # a file is damaged, lacks a column that the first one has, or holds another type
        # Ray's message is a traceback; what went wrong first stands at the end of its first part.
        first, _, _ = str(error).partition("\n\nThe above exception")
        why = first.strip().splitlines()[-1].strip()
        raise SourceError(f"{data}: cannot be read as rows of the model: {why}") from error


def _rows(data: str, workspace: Workspace) -> ray.data.Dataset:
    with quiet():
        if "@" in data and "/" not in data:
            table, wanted = split_reference(data)
            return read_version(workspace, DatasetTable.named(table, workspace).resolve(wanted))
        try:
            place = Lake(data)
            rows = ray.data.read_parquet(place.root, filesystem=place.filesystem)
            rows.schema()
        except (MlopsRayError, RayError, pa.ArrowException, OSError, ValueError) as error:
            raise SourceError(f"{data}: expected Parquet that can be read, found: {_first_line(error)}") from None
        return rows


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
