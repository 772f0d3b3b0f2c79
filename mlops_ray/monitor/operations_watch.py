"""Raises and resolves the alert on how one champion is answered by."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Literal

from mlops_ray.monitor.alert_book import AlertBook
from mlops_ray.monitor.finding import Finding
from mlops_ray.monitor.operational_judge import OperationalReport, OperationalWindow, judge_operations
from mlops_ray.spec import ModelSpec
from mlops_ray.verdict import Verdict

__all__ = ["OperationsWatch"]

_LOOKS = 20  # at a window


class OperationsWatch:
    """One for each champion."""

    def __init__(self, spec: ModelSpec, book: AlertBook, version: int) -> None:
        self._spec = spec
        self._book = book
        self._version = version
        self._report: OperationalReport | None = None
        self._judged_s = float("-inf")

    def due(self, now_s: float) -> bool:
        """Whether enough of the window is new to be judged again."""
        policy = self._spec.monitor.operational
        return policy.enabled and now_s - self._judged_s >= policy.window_s / _LOOKS

    def judge(self, window: OperationalWindow, now_s: float) -> None:
        """Judge a window; an open alert stays as it is while there is too little to judge."""
        policy, self._judged_s = self._spec.monitor.operational, now_s
        raised = self._book.open_alert("operational", self._version) is not None
        self._report = report = judge_operations(window, policy, now_s=now_s, raised=raised)
        if report.verdict is Verdict.FAIL:
            message = f"{self._spec.name} v{self._version}: {report.message}"
            severity: Literal["warning", "critical"] = "critical" if report.critical else "warning"
            self._book.report(Finding("operational", severity, self._version, message, evidence=asdict(window)), now_s)
        elif report.verdict is Verdict.PASS:
            self._book.resolve("operational", self._version, report.message, now_s)

    def status(self) -> Mapping[str, Any]:
        """The newest judgement as JSON values."""
        if self._report is None:
            return {"operations": None}
        said = {"verdict": self._report.verdict.value, "message": self._report.message}
        return {"operations": said | asdict(self._report.window)}
