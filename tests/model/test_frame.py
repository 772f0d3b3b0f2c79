import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from mlops_ray.model import InputColumn, Signature, encode
from mlops_ray.model.frame import to_frame
from tests.model.conftest import SIGNATURE

WHOLE = np.array([[3, 70.5, 1, 2], [9, 8, 0, 0]])
BROKEN = np.array([[3, np.nan, np.nan, np.nan], [9, 8, 0, 3]])


@pytest.mark.parametrize("matrix", [WHOLE, BROKEN])
def test_types_are_those_of_the_signature_whatever_the_rows_are(matrix: NDArray[np.float64]) -> None:
    frame = to_frame(SIGNATURE, matrix)
    assert {name: str(kind) for name, kind in frame.dtypes.items()} == {
        "tenure": "int64",
        "charges": "float64",
        "paperless": "object",
        "contract": "str",
    }


def test_values_are_those_of_the_rows() -> None:
    assert to_frame(SIGNATURE, WHOLE).to_dict("records") == [
        {"tenure": 3, "charges": 70.5, "paperless": True, "contract": "two year"},
        {"tenure": 9, "charges": 8.0, "paperless": False, "contract": "monthly"},
    ]


def test_missing_is_nan_or_none_and_an_unseen_category_says_so() -> None:
    first, second = to_frame(SIGNATURE, BROKEN).to_dict("records")
    assert np.isnan(first["charges"])
    assert np.isnan(first["contract"])
    assert (first["tenure"], first["paperless"]) == (3, None)
    assert second["contract"] == "<unseen>"


def test_whole_numbers_that_may_be_missing_are_floats() -> None:
    signature = Signature((InputColumn("n", "int", True), InputColumn("b", "bool", False)), "regression")
    frame = to_frame(signature, np.array([[1.0, 0.0], [2.0, 1.0]]))
    assert [str(kind) for kind in frame.dtypes] == ["float64", "bool"]


def test_encoding_the_frame_gives_the_matrix_again() -> None:
    frame: pd.DataFrame = to_frame(SIGNATURE, BROKEN)
    np.testing.assert_array_equal(encode(SIGNATURE, pa.Table.from_pandas(frame, preserve_index=False)), BROKEN)
