"""What is folded again from records is what a replica's profile held."""

import numpy as np
import pyarrow as pa

from mlops_ray.drift import build_reference
from mlops_ray.model import InputColumn, Signature
from mlops_ray.monitor.reference import Watched
from mlops_ray.records import served_schema
from tests.monitor.samples import ROW

PICTURES = Signature((InputColumn("photo", "image", False, shape=(2, 2, 3)),), "multiclass", classes=("a", "b"))


def test_of_pictures_the_statistics_in_the_records_are_the_matrix() -> None:
    names = [column.name for column in PICTURES.columns()]
    reference = build_reference([*PICTURES.columns(), PICTURES.prediction_column()], np.zeros((9, 6)))
    kind = pa.struct([*((name, pa.float64()) for name in names), ("photo.digest", pa.string())])
    features = {name: float(place) for place, name in enumerate(names)} | {"photo.digest": "00"}
    row = {**ROW, "request_id": "r", "score": 1.0, "confidence": 0.9, "scores": [0.1, 0.9], "features": features}
    table = pa.Table.from_pylist([row], schema=served_schema(kind))
    watched = Watched(1, PICTURES, reference, {})
    matrix, times = watched.matrix_of(table)
    assert matrix.tolist() == [[0.0, 1.0, 2.0, 3.0, 4.0, 1.0]]
    assert times.tolist() == [ROW["time_s"]]
    assert watched.matrix_of(table.slice(0, 0))[0].shape == (0, 6)
