"""The `retrain` section: what starts a training by itself, what has to hold before, and which rows it takes."""

from typing import Literal, Self

from pydantic import Field, model_validator

from mlops_ray.spec.schedule import Schedule
from mlops_ray.spec.section import Section

__all__ = ["Cause", "Guards", "Retrain", "RetrainData"]

Cause = Literal["drift", "prediction_drift", "label_drift", "concept_drift", "decay", "new_data", "code"]
"""What may be named in `retrain.triggers`: kinds of alert, a new dataset version, code that made no version yet."""


class Guards(Section):
    """What has to hold before a trigger may start a training."""

    cooldown_s: float = Field(3600.0, ge=0, description="time between two retrainings of a model")
    max_per_day: int = Field(4, ge=1)
    min_new_rows: int = Field(0, ge=0, description="good rows the new data must bring")
    min_new_labels: int = Field(0, ge=0, description="rows labelled since the champion was trained")
    min_label_maturity: float = Field(
        0.0, ge=0, le=1, description="share of the answers since then whose labels had time to come (labels.matures_s)"
    )
    max_device_hours_per_day: float | None = Field(
        None, gt=0, description="GPU hours, or CPU core hours without GPUs, that trainings may use in 24 hours"
    )
    max_rejected: int = Field(
        3, ge=1, description="retrainings in a row that came to no champion, after which people have to look"
    )
    max_attempts: int = Field(3, ge=1, le=20, description="jobs for one cause, if they fail")
    retry_s: float = Field(30.0, gt=0, description="wait after a failure, doubled with every further one")


class RetrainData(Section):
    """Which rows a retraining learns from."""

    window: Literal["table", "sliding", "expanding", "weighted"] = Field(
        "table",
        description="table, expanding: all rows there are; sliding: the newest ones; weighted: rows of older times the "
        "fewer, the less these resemble the newest",
    )
    rows: int | None = Field(None, ge=100, description="of a sliding window; of weighted: those that are the newest")
    since_s: float | None = Field(None, gt=0, description="how far a sliding window reaches back from its newest row")
    from_records: bool = Field(
        False, description="first add the served rows whose labels have come to the table, as a version of their own"
    )
    max_label_delay_s: float = Field(
        30 * 86_400.0, gt=0, description="labels that come later than this after the answer are not joined"
    )

    @model_validator(mode="after")
    def _window_has_a_size(self) -> Self:
        sizes = [name for name in ("rows", "since_s") if getattr(self, name) is not None]
        if self.window == "sliding" and len(sizes) != 1:
            raise ValueError("window 'sliding' needs either rows or since_s")
        if self.window == "weighted" and sizes != ["rows"]:
            raise ValueError("window 'weighted' needs rows, how many are the newest, and no since_s")
        if self.window in ("table", "expanding") and sizes:
            raise ValueError(f"window {self.window!r} takes all rows; leave {sizes[0]} out")
        if self.window == "expanding" and not self.from_records:
            raise ValueError("window 'expanding' grows by the records: set from_records, or use window 'table'")
        return self

    @property
    def of_its_own(self) -> bool:
        """Whether the rows are a part of the table, which becomes a dataset version of its own."""
        return self.window in ("sliding", "weighted")


class Retrain(Section):
    """What starts a retraining by itself, and what it learns from."""

    triggers: tuple[Cause, ...] = Field((), description="causes that start one; none by default")
    schedule: Schedule | None = Field(None, description="start one at these times")
    every_labels: int | None = Field(
        None, ge=1, description="start one after so many labelled rows since the last retraining"
    )
    guards: Guards = Guards()
    data: RetrainData = RetrainData()
    golden: str | None = Field(
        None,
        min_length=1,
        description="fixed rows that gates with `on: golden` look at, of every training: a Parquet file or folder, "
        "also s3://, or a dataset version such as mlops.golden@v1",
    )

    @property
    def by_itself(self) -> bool:
        """Whether anything starts a retraining without a person."""
        return bool(self.triggers) or self.schedule is not None or self.every_labels is not None
