"""The `train` section, and the gates and approvals that follow it."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from mlops_ray.spec.section import Section

__all__ = [
    "METRICS",
    "Approval",
    "Choice",
    "Gate",
    "Holdout",
    "IntRange",
    "LogRange",
    "Metric",
    "Range",
    "Resources",
    "SearchDimension",
    "Task",
    "Train",
]

Task = Literal["binary", "regression"]
Metric = Literal["auc", "log_loss", "accuracy", "brier", "f1", "rmse", "mae", "r2"]
# task -> metric -> whether larger is better
METRICS: Mapping[str, Mapping[str, bool]] = {
    "binary": {"auc": True, "log_loss": False, "accuracy": True, "brier": False, "f1": True},
    "regression": {"rmse": False, "mae": False, "r2": True},
}


class Resources(Section):
    """What one process may use."""

    cpus: float = Field(1.0, ge=0, description="logical CPUs")
    gpus: float = Field(0.0, ge=0, description="GPUs; a fraction shares one")


class Range(Section):
    """Uniform between two numbers."""

    uniform: tuple[float, float]


class LogRange(Section):
    """Uniform between two positive numbers on a log scale."""

    log_uniform: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]]


class IntRange(Section):
    """Whole numbers from the first to the last, both included."""

    int_uniform: tuple[int, int]


class Choice(Section):
    """One of a list."""

    choice: tuple[float | int | str | bool, ...] = Field(min_length=1)


_KINDS: dict[str, type[Section]] = {
    "uniform": Range,
    "log_uniform": LogRange,
    "int_uniform": IntRange,
    "choice": Choice,
}


def _dimension_kind(value: Any) -> str | None:
    if isinstance(value, Section):
        return next(kind for kind, cls in _KINDS.items() if isinstance(value, cls))
    if isinstance(value, Mapping):
        return next((kind for kind in _KINDS if kind in value), "choice")
    return "constant"


SearchDimension = Annotated[
    Annotated[Range, Tag("uniform")]
    | Annotated[LogRange, Tag("log_uniform")]
    | Annotated[IntRange, Tag("int_uniform")]
    | Annotated[Choice, Tag("choice")]
    | Annotated[float | int | str | bool, Tag("constant")],
    Discriminator(_dimension_kind),
]


class Holdout(Section):
    """Rows no trial ever sees, looked at once per model version."""

    fraction: float = Field(0.2, gt=0, lt=0.9, description="share of rows held out")
    by: Literal["unit", "row", "time"] = Field(
        "row", description="unit: whole units by a stable hash; row: by a stable hash of the features; time: the newest"
    )


class Train(Section):
    """A sweep: which trainer, over which space, judged how."""

    task: Task = "binary"
    trainer: str = Field(
        "lightgbm",
        pattern=r"^(lightgbm|torch|[A-Za-z_][\w.]*:[A-Za-z_]\w*)$",
        description="lightgbm, torch, or your own package.module:function",
    )
    space: Mapping[str, SearchDimension] = Field(
        default_factory=dict, description="hyperparameter -> a constant, uniform, log_uniform, int_uniform or choice"
    )
    trials: int = Field(8, ge=1, le=10_000)
    max_concurrent: int = Field(2, ge=1, le=1000, description="trials at the same time")
    search: Literal["optuna", "random"] = "optuna"
    scheduler: Literal["asha", "none"] = "asha"
    max_iterations: int = Field(200, ge=1, description="boosting rounds or epochs of one trial at most")
    metric: Metric = "auc"
    mode: Literal["max", "min"] | None = Field(None, description="taken from the metric when left out")
    resources: Resources = Field(Resources(), description="of one trial")
    seed: int = Field(0, ge=0, lt=2**31)
    newest_rows: int | None = Field(
        None, ge=100, description="train on the newest labelled rows only, by data.timestamp; all by default"
    )
    validation_fraction: float = Field(
        0.2, gt=0, lt=0.9, description="share of the training rows that trials compare on"
    )
    holdout: Holdout = Holdout()

    @model_validator(mode="after")
    def _metric_fits_the_task(self) -> Self:
        known = METRICS[self.task]
        if self.metric not in known:
            raise ValueError(
                f"metric {self.metric!r} is not for task {self.task!r}; expected one of {', '.join(known)}"
            )
        if self.mode is not None and (self.mode == "max") != known[self.metric]:
            raise ValueError(f"mode {self.mode!r} would look for the worst {self.metric}; leave mode out")
        return self

    @property
    def maximize(self) -> bool:
        """Whether a larger `metric` is better."""
        return METRICS[self.task][self.metric]


class Gate(Section):
    """One condition a candidate has to meet on the holdout.

    `min` / `max` bound the metric itself; `not_worse_by` compares with the champion on the same rows.
    """

    metric: Metric
    min: float | None = Field(None, description="smallest value allowed")
    max: float | None = Field(None, description="largest value allowed")
    not_worse_by: float | None = Field(
        None, ge=0, description="how much worse than the champion is still fine, in units of the metric"
    )

    @model_validator(mode="after")
    def _asks_something(self) -> Self:
        if self.min is None and self.max is None and self.not_worse_by is None:
            raise ValueError("a gate needs min, max or not_worse_by")
        return self


class Approval(Section):
    """People who have to say yes before a version that passed its gates is delivered."""

    required: int = Field(0, ge=0, le=10, description="distinct approvers; 0 means none is asked")
