"""Explanations and reports: `serve.explain`, `monitor.attribution` and `monitor.reports`."""

from typing import Literal

from pydantic import Field

from mlops_ray.spec.section import Section

__all__ = ["Attribution", "Explain", "ReportedKind", "Reports"]

ReportedKind = Literal[
    "data_quality", "drift", "prediction_drift", "label_drift", "concept_drift", "decay", "fairness", "attribution"
]


class Explain(Section):
    """The route `explain`: which feature moved an answer, and by how much. It runs in a process of its own."""

    enabled: bool = True
    max_rows: int = Field(64, ge=1, le=10_000, description="rows in one request")
    deadline_ms: float = Field(10_000.0, gt=0, le=600_000, description="longest an explanation may take")
    max_waiting: int = Field(4, ge=0, le=1000, description="requests that wait for the one at work; more get 503")
    max_predictions: int = Field(
        2000, ge=10, le=1_000_000, description="predictions for one row of a model that has no exact method"
    )
    idle_s: float = Field(300.0, gt=0, description="the process ends when nobody has asked for so long")


class Attribution(Section):
    """Whether the model still reasons with the features that it did: contributions on rows of the window."""

    enabled: bool | None = Field(
        None, description="by default on for models that are explained exactly and cheaply (trees, linear ones)"
    )
    rows: int = Field(300, ge=50, le=10_000, description="rows of a window that are explained")
    every_s: float = Field(900.0, gt=0, description="time between two looks")
    max_shift: float = Field(
        0.08,
        gt=0,
        lt=1,
        description="smallest shift worth an alarm: total variation of the features' shares of all contributions",
    )
    persist: int = Field(2, ge=1, le=20, description="looks in a row that must agree, to raise and to resolve")


class Reports(Section):
    """Evidently reports of a window, for people."""

    on_alert: bool = Field(True, description="one for each alert of these kinds")
    kinds: tuple[ReportedKind, ...] = Field(
        ("data_quality", "drift", "prediction_drift", "label_drift", "concept_drift", "decay"),
        description="kinds of alerts that get one",
    )
    rows: int = Field(2000, ge=100, le=100_000, description="rows of the window, and of the reference")
    attempts: int = Field(3, ge=1, le=20, description="tries before a report is given up")
