"""Where reports are made: in Ray tasks, whose process and memory end with them."""

import os
from typing import Any, Protocol

import ray

from mlops_ray.errors import ClusterError, MlopsRayError
from mlops_ray.reports.order import ReportOrder, ReportResult

__all__ = ["RayReports", "ReportTasks"]

_CPUS = 0.5
_NICE = 15


class ReportTasks(Protocol):
    """Runs `make_report` somewhere else."""

    def start(self, order: ReportOrder) -> Any:
        """Begin; what comes back names the task."""
        ...

    def result(self, task: Any, *, wait_s: float = 0.0) -> ReportResult | None:
        """What came of it; None when it runs longer than `wait_s`.

        Raises:
            MlopsRayError: it failed.
        """
        ...

    def cancel(self, task: Any) -> None:
        """End it."""
        ...


class RayReports:
    """On the cluster that this process is connected to."""

    def start(self, order: ReportOrder) -> Any:
        """See `ReportTasks.start`."""
        task = ray.remote(num_cpus=_CPUS, max_calls=1, max_retries=0)(_politely)
        return task.options(name=f"report:{order.name}").remote(order)

    def result(self, task: Any, *, wait_s: float = 0.0) -> ReportResult | None:
        """See `ReportTasks.result`."""
        try:
            done, _ = ray.wait([task], timeout=wait_s)
            found: ReportResult | None = ray.get(task) if done else None
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, MlopsRayError):
                raise error.cause from None
            raise ClusterError(f"the report failed: {type(error.cause).__name__}: {error.cause}") from None
        except ray.exceptions.RayError as error:
            raise ClusterError(f"the report's task ended: {str(error).splitlines()[0]}") from None
        return found

    def cancel(self, task: Any) -> None:
        """See `ReportTasks.cancel`."""
        ray.cancel(task, force=True)


def _politely(order: ReportOrder) -> ReportResult:
    from mlops_ray.reports.make_report import make_report  # MLflow: seconds to import

    os.nice(_NICE)
    return make_report(order)
