"""The `train` section, and the gates and approvals that follow it."""

from collections.abc import Mapping
from itertools import islice
from typing import Literal, Self

from pydantic import Field, model_validator

from mlops_ray.spec.search_space import IntRange, LogRange, Range, SearchDimension, dimension_order, grid_points
from mlops_ray.spec.section import Section

__all__ = [
    "METRICS",
    "Approval",
    "Gate",
    "Holdout",
    "Metric",
    "Resources",
    "Task",
    "Train",
]

Task = Literal["binary", "multiclass", "regression"]
Metric = Literal["auc", "log_loss", "accuracy", "brier", "f1", "rmse", "mae", "r2"]
# task -> metric -> whether larger is better
METRICS: Mapping[str, Mapping[str, bool]] = {
    "binary": {"auc": True, "log_loss": False, "accuracy": True, "brier": False, "f1": True},
    "multiclass": {"accuracy": True, "log_loss": False, "f1": True},  # f1: mean over the classes
    "regression": {"rmse": False, "mae": False, "r2": True},
}
# hyperparameters that decide which weights a net has
_SHAPES: Mapping[str, tuple[str, ...]] = {"torch": ("hidden", "layers"), "torchvision": ("architecture", "width")}


class Resources(Section):
    """What one process may use."""

    cpus: float = Field(1.0, ge=0, description="logical CPUs")
    gpus: float = Field(0.0, ge=0, description="GPUs; a fraction shares one")


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
        pattern=r"^(lightgbm|torch|torchvision|[A-Za-z_][\w.]*:[A-Za-z_]\w*)$",
        description="lightgbm, torch, torchvision (images), or your own package.module:function",
    )
    space: Mapping[str, SearchDimension] = Field(
        default_factory=dict,
        description="hyperparameter -> a constant, or uniform, log_uniform, int_uniform or choice, with `when` or not",
    )
    trials: int = Field(
        8, ge=1, le=10_000, description="at most; a grid has as many trials as points, and may not have more"
    )
    max_concurrent: int = Field(2, ge=1, le=1000, description="trials at the same time, as far as the cluster has room")
    time_budget_s: float | None = Field(None, gt=0, description="the best trial that has finished by then wins")
    search: Literal["optuna", "random", "grid"] = "optuna"
    scheduler: Literal["asha", "pbt", "median", "none"] = "asha"
    max_iterations: int = Field(200, ge=1, description="boosting rounds or epochs of one trial at most")
    checkpoint_every_s: float = Field(
        60.0, ge=0, description="a trial keeps what it could go on from at its first report after so many seconds"
    )
    metric: Metric = "auc"
    mode: Literal["max", "min"] | None = Field(None, description="taken from the metric when left out")
    resources: Resources = Field(Resources(), description="of one trial")
    workers: int = Field(1, ge=1, le=1000, description="processes of one trial, each with these resources")
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

    @model_validator(mode="after")
    def _the_search_can_be_made(self) -> Self:
        dimension_order(self.space)
        ranges = [name for name, dim in self.space.items() if isinstance(dim, Range | LogRange | IntRange)]
        if self.search == "grid" and ranges:
            raise ValueError(
                f"search 'grid' tries every value: expected choice or a constant for space.{ranges[0]}, found a range; "
                "list its values as choice, or use search 'random' or 'optuna'"
            )
        if self.search == "grid" and len(list(islice(grid_points(self.space), self.trials + 1))) > self.trials:
            raise ValueError(
                f"search 'grid' tries every point: expected at most {self.trials}, found more; raise trials"
            )
        return self

    @model_validator(mode="after")
    def _the_scheduler_fits(self) -> Self:
        if self.scheduler != "pbt":
            return self
        if self.trainer == "lightgbm":
            raise ValueError(
                "scheduler 'pbt' changes hyperparameters of a model half way, which lightgbm's trainer cannot take "
                "over; use 'asha', or trainer 'torch' or 'torchvision'"
            )
        if self.search != "random":
            raise ValueError(f"scheduler 'pbt' makes its own changes: expected search 'random', found {self.search!r}")
        if self.workers > 1:
            raise ValueError("scheduler 'pbt' needs trials of one process: expected workers 1")
        if any(getattr(dimension, "when", None) for dimension in self.space.values()):
            raise ValueError("scheduler 'pbt' changes hyperparameters one by one: it takes no `when` in the space")
        named = _SHAPES.get(self.trainer, ())
        shape = [name for name in named if isinstance(self.space.get(name), Section)]
        if shape:
            raise ValueError(f"scheduler 'pbt' hands weights on: space.{shape[0]} has to be a constant")
        return self

    @model_validator(mode="after")
    def _the_trainer_has_workers(self) -> Self:
        if self.workers > 1 and ":" in self.trainer:
            raise ValueError(f"workers {self.workers}: a trainer of your own runs in one process; leave workers out")
        return self

    @property
    def maximize(self) -> bool:
        """Whether a larger `metric` is better."""
        return METRICS[self.task][self.metric]


class Gate(Section):
    """One condition a candidate has to meet on the holdout, or on the golden set.

    `min` / `max` bound the metric itself; `not_worse_by` compares with the champion on the same rows.
    """

    metric: Metric
    min: float | None = Field(None, description="smallest value allowed")
    max: float | None = Field(None, description="largest value allowed")
    not_worse_by: float | None = Field(
        None, ge=0, description="how much worse than the champion is still fine, in units of the metric"
    )
    on: Literal["holdout", "golden"] = Field(
        "holdout", description="holdout: held out of the dataset version trained on; golden: the rows of retrain.golden"
    )

    @model_validator(mode="after")
    def _asks_something(self) -> Self:
        if self.min is None and self.max is None and self.not_worse_by is None:
            raise ValueError("a gate needs min, max or not_worse_by")
        return self


class Approval(Section):
    """People who have to say yes before a version that passed its gates is delivered."""

    required: int = Field(0, ge=0, le=10, description="distinct approvers; 0 means none is asked")
