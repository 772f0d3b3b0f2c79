"""Evidently reports of what was served against the training, for people; made in Ray tasks, kept in the lake."""

from mlops_ray.reports.order import Occasion, ReportOrder, ReportResult, alert_order, window_order
from mlops_ray.reports.report_desk import ReportDesk
from mlops_ray.reports.tasks import RayReports, ReportTasks

__all__ = [
    "Occasion",
    "RayReports",
    "ReportDesk",
    "ReportOrder",
    "ReportResult",
    "ReportTasks",
    "alert_order",
    "window_order",
]
