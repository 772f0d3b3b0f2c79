"""What a trainer gets, and what it has to be."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mlops_ray.model import Signature, TrainedModel
from mlops_ray.spec import Metric, Task

__all__ = ["Trainer", "TrialContext"]

Matrix = NDArray[np.float64]
State = bytes | Callable[[], bytes]


@dataclass(frozen=True)
class TrialContext:
    """One trial: hyperparameters, data and limits.

    Matrices are (rows, inputs) float64 as `mlops_ray.model.encode` makes them and read-only; labels are (rows,), 0 and
    1 for a binary task, the places of the classes in `signature.classes` for a multiclass one. A model of images gets
    no matrices but tables with the encoded pictures, which `mlops_ray.pixels.decode_images` reads.

    `report(iteration, {metric: value})` tells how it goes on the validation rows, 10 to 20 times a trial; a trial
    without prospects is ended inside of it. `log({name: value}, step)` keeps anything else in MLflow.

    With several `workers` each has a part of the training rows and all validation rows, and each has to report.
    """

    params: Mapping[str, Any]
    task: Task
    metric: Metric
    maximize: bool
    seed: int
    max_iterations: int  # boosting rounds or epochs
    threads: int
    device: str  # of torch: "cpu" or "cuda"
    x_train: Matrix
    y_train: Matrix
    x_valid: Matrix
    y_valid: Matrix
    categorical: tuple[int, ...]  # places of the category columns in the matrices
    signature: Signature
    report: Callable[[int, Mapping[str, float]], None]
    log: Callable[[Mapping[str, float], int], None] = lambda _metrics, _step: None
    # `report`, and bytes from which another trial, or this one after a failure, can go on: it gets them as `resume`;
    # they are kept when `train.checkpoint_every_s` is over, so give a function where they cost something
    checkpoint: Callable[[int, Mapping[str, float], State], None] = lambda _iteration, _metrics, _state: None
    resume: bytes | None = None
    train_pictures: pa.Table | None = None  # one column, a row for each of y_train
    valid_pictures: pa.Table | None = None
    # the metric of the model on the validation rows, where the trainer knows it: it is not computed once more
    achieved: Callable[[float], None] = lambda _value: None
    data_id: str | None = None  # names the data, the same in all trials on it; None: nobody shares it
    workers: int = 1  # processes that train this model together, each on rows of its own
    network: Mapping[str, Any] = field(default_factory=dict)  # LightGBM's parameters to find the other workers

    @property
    def report_every(self) -> int:
        """Iterations between two reports, so that there are about 15."""
        return max(1, self.max_iterations // 15)


Trainer = Callable[[TrialContext], TrainedModel]
