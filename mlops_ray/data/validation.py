"""From the statistics of a batch to what each rule came to, and to what is kept with the version; pure."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mlops_ray.data.baseline import Baseline
from mlops_ray.data.checks import Evidence, RuleResult, check_batch
from mlops_ray.data.column import Column, columns_of
from mlops_ray.data.leakage import label_power
from mlops_ray.data.report import ValidationReport
from mlops_ray.data.row_sample import RowSample
from mlops_ray.data.sample_profile import profiled, sample_matrix
from mlops_ray.data.statistics import BatchStatistics
from mlops_ray.data.version_statistics import VersionStatistics
from mlops_ray.drift import Column as ProfileColumn
from mlops_ray.drift import DriftReport, ReferenceProfile, fold, judge
from mlops_ray.spec import Distribution, ModelSpec, Thresholds
from mlops_ray.verdict import Verdict

__all__ = ["Validation", "validate"]


@dataclass(frozen=True)
class Validation:
    """One batch, judged."""

    results: tuple[RuleResult, ...]
    statistics: VersionStatistics
    evidence: Evidence

    def report(
        self,
        spec: ModelSpec,
        batch: BatchStatistics,
        baseline: Baseline,
        *,
        run_id: str,
        files: int,
        quarantine: str,
    ) -> ValidationReport:
        """The report of it; `quarantine` is where the bad rows are."""
        return ValidationReport(
            table=spec.table,
            run_id=run_id,
            made_s=self.evidence.now_s,
            committed=not any(result.refuses for result in self.results),
            rows=batch.rows,
            good_rows=batch.good_rows,
            files=files,
            duplicate_share=batch.whole_rows.repeated_share(),
            results=self.results,
            columns=self.statistics.columns,
            previous=baseline.statistics.columns if baseline.statistics is not None else {},
            history=baseline.history,
            label_power=self.evidence.label_power,
            drift=self.evidence.drift,
            quarantine_uri=quarantine if batch.quarantined_rows else None,
        )


def validate(spec: ModelSpec, batch: BatchStatistics, baseline: Baseline, *, repeated: int, now_s: float) -> Validation:
    """Judge a batch by the rules of the spec; `repeated` rows repeat the unique columns of another one."""
    columns, data = columns_of(spec), spec.data
    statistics = VersionStatistics.of(batch, columns, time=data.timestamp, previous=baseline.statistics)
    previous = baseline.previous
    times = batch.columns.get(data.timestamp or "")
    evidence = Evidence(
        repeated=repeated,
        previous=previous.ref if previous is not None else None,
        previous_rows=previous.added_rows if previous is not None else 0,
        drift=_drift(batch.sample, baseline.statistics, data.checks.distribution or Distribution()),
        label_power=_label_power(spec, batch.sample, columns),
        newest_s=times.moments.max if times is not None and times.moments.n else None,
        now_s=now_s,
    )
    return Validation(check_batch(batch, columns, data.checks, evidence), statistics, evidence)


def _drift(sample: RowSample | None, before: VersionStatistics | None, asked: Distribution) -> DriftReport | None:
    """The sample against the profile of the version before."""
    if sample is None or before is None or before.profile is None:
        return None
    if before.profile.rows < asked.min_rows:
        message = f"{before.profile.rows:,} of the {asked.min_rows:,} rows needed in the version before"
        return DriftReport(Verdict.INCONCLUSIVE, sample.rows.num_rows, (), message)
    limits = asked.model_dump(include={"fdr", "min_ks", "min_js", "min_psi"})
    matrix = sample_matrix(_columns_of(before.profile), sample.rows)
    profile = fold(before.profile, matrix)
    thresholds = Thresholds(**limits, min_shift=None)
    return judge(before.profile, profile, thresholds, min_rows=asked.min_rows, features=asked.features)


def _columns_of(profile: ReferenceProfile) -> list[ProfileColumn]:
    return [ProfileColumn(feature.name, feature.kind, feature.categories) for feature in profile.features]


def _label_power(spec: ModelSpec, sample: RowSample | None, columns: Sequence[Column]) -> dict[str, float | None]:
    kind = next(column.kind for column in columns if column.name == spec.data.label)
    if sample is None or not sample.rows.num_rows or kind not in ("flag", "float"):
        return {}
    labels = sample_matrix([ProfileColumn(spec.data.label, "numeric")], sample.rows)[:, 0]
    chosen = profiled(columns, sample.rows)
    matrix = sample_matrix(chosen, sample.rows)
    return {
        column.name: label_power(
            np.ascontiguousarray(matrix[:, place]),
            labels,
            binary=kind == "flag",
            categorical=column.kind == "categorical",
        )
        for place, column in enumerate(chosen)
    }
