"""An encoded matrix back as the pandas DataFrame it came from, for models that want names and types."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlops_ray.model.signature import InputColumn, Signature

__all__ = ["UNSEEN", "to_frame"]

UNSEEN = "<unseen>"


def to_frame(signature: Signature, matrix: NDArray[np.float64]) -> pd.DataFrame:
    """The rows of `matrix` (rows, inputs) with the names and types of the signature.

    float and nullable int: float64, NaN where missing. int: int64. bool: bool, and object with None where nullable.
    category: str, NaN where missing, `<unseen>` for what is not in the vocabulary. The types do not depend on the rows.
    """
    columns = {column.name: _values(column, matrix[:, i]) for i, column in enumerate(signature.inputs)}
    return pd.DataFrame(columns, copy=False)


def _values(column: InputColumn, numbers: NDArray[np.float64]) -> Any:
    if column.type == "category":
        # one more for unseen values, and one for missing ones
        texts = np.array([*column.categories, UNSEEN, None], dtype=object)
        return pd.Series(texts[np.where(np.isnan(numbers), len(texts) - 1, numbers).astype(np.int64)], dtype="str")
    if column.type == "float" or (column.type == "int" and column.nullable):
        return numbers
    if column.type == "int":
        return numbers.astype(np.int64)
    if not column.nullable:
        return numbers.astype(np.bool_)
    truth = numbers.astype(np.bool_).astype(object)
    truth[np.isnan(numbers)] = None
    return truth
