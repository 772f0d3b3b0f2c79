"""The spec's limits of fairness on the holdout rows of a candidate."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mlops_ray.evaluation import FairnessResult, count_groups, groups_of, judge_fairness
from mlops_ray.model import Signature
from mlops_ray.spec import Fairness
from mlops_ray.train.training_data import Part

__all__ = ["fairness_on_holdout"]


def fairness_on_holdout(
    limits: Sequence[Fairness], signature: Signature, holdout: Part, predictions: NDArray[np.float64]
) -> list[FairnessResult]:
    """What comes of each limit, from predictions (n,) of the holdout's rows."""
    columns = {column.name: (i, column.categories) for i, column in enumerate(signature.columns())}
    found = []
    for limit in limits:
        place, categories = columns[limit.attribute]
        groups = groups_of(holdout.x[:, place], categories, limit.bins)
        found.append(judge_fairness(limit, count_groups(groups, holdout.y, predictions)))
    return found
