"""What benchmarks/electricity.py and electricity_served.py tell of a run, and the schedules they hold it against."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.electricity_loop import LoopResult, run_schedule
from benchmarks.electricity_stream import DAY_ROWS, Stream
from mlops_ray.spec import ModelSpec

__all__ = ["PHASES", "comparison", "numbers_of", "schedules_of"]

PHASES = (-0.4, -0.2, 0.0, 0.2, 0.4)
"""Of the distance between two trainings."""


def schedules_of(spec: ModelSpec, stream: Stream, *, begin: int, count: int) -> list[LoopResult]:
    """As many retrainings at equal distances, whatever comes of them; one result for each phase."""
    dates = [_dates(begin, len(stream), count, phase) for phase in PHASES]
    return [run_schedule(spec, stream, begin=begin, retrain_at=rows) for rows in dates]


def comparison(loop: LoopResult, frozen: float, schedules: Sequence[LoopResult]) -> dict[str, Any]:
    """The loop beside the accuracy of its first champion, and beside schedules."""
    accuracies = [schedule.accuracy for schedule in schedules]
    return {
        "loop": numbers_of(loop),
        "frozen_accuracy": round(frozen, 4),
        "schedule_accuracy": round(float(np.mean(accuracies)), 4),
        "schedule_accuracies": [round(accuracy, 4) for accuracy in accuracies],
        "loop_over_frozen_points": round(100 * (loop.accuracy - frozen), 2),
        "loop_over_schedule_points": round(100 * (loop.accuracy - float(np.mean(accuracies))), 2),
        "loop_over_best_schedule_points": round(100 * (loop.accuracy - max(accuracies)), 2),
    }


def numbers_of(result: LoopResult) -> dict[str, Any]:
    """Of one run."""
    return {
        "accuracy": round(result.accuracy, 4),
        "retrainings": len(result.retrained_at),
        "promotions": len(result.promoted_at),
        "retrained_at_row": result.retrained_at,
        "causes": {cause: result.causes.count(cause) for cause in sorted(set(result.causes))},
        "alerts": result.alerts,
    }


def _dates(begin: int, end: int, count: int, phase: float) -> list[int]:
    """Rows at which a schedule trains: at equal distances, all moved by a part of the distance, on whole days."""
    if not count:
        return []
    step = (end - begin) / (count + 1)
    return [begin + int((i + 1 + phase) * step) // DAY_ROWS * DAY_ROWS for i in range(count)]
