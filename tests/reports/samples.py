"""Reports made where they are asked for, in this process."""

from dataclasses import dataclass, field
from typing import Any

from mlops_ray.errors import MlopsRayError
from mlops_ray.reports import ReportOrder, ReportResult
from mlops_ray.reports.make_report import make_report

__all__ = ["HereAndNow", "Scripted"]


class HereAndNow:
    """Makes a report when its result is asked for."""

    def __init__(self) -> None:
        self.orders: list[ReportOrder] = []

    def start(self, order: ReportOrder) -> ReportOrder:
        self.orders.append(order)
        return order

    def result(self, task: ReportOrder, *, wait_s: float = 0.0) -> ReportResult | None:  # noqa: ARG002
        return make_report(task)

    def cancel(self, task: Any) -> None:  # noqa: ARG002
        raise AssertionError("nothing hangs here")


@dataclass
class Scripted:
    """Answers what it is told to, one after the other; None is a report that takes longer."""

    outcomes: list[ReportResult | MlopsRayError | None]
    orders: list[ReportOrder] = field(default_factory=list)
    cancelled: list[Any] = field(default_factory=list)

    def start(self, order: ReportOrder) -> int:
        self.orders.append(order)
        return len(self.orders)

    def result(self, task: int, *, wait_s: float = 0.0) -> ReportResult | None:  # noqa: ARG002
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, MlopsRayError):
            raise outcome
        return outcome

    def cancel(self, task: int) -> None:
        self.cancelled.append(task)
