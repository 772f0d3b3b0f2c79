import base64
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from mlops_ray.data import ingest, load_version
from mlops_ray.data.conversion import accepts, convert
from mlops_ray.lake import Lake
from mlops_ray.pixels import encode_png
from mlops_ray.spec import ModelSpec, Workspace

WHOLE = encode_png(np.full((4, 4, 3), 9, np.uint8))
STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
TRAIN = {"task": "multiclass", "trainer": "torchvision", "metric": "accuracy"}
REASON = "not a picture (JPEG, PNG or WebP) that can be read"


def in_struct(content: bytes | None) -> dict[str, Any]:
    return {"bytes": content, "path": "a.png"}


@pytest.mark.parametrize(
    "column",
    [
        pa.array([WHOLE, WHOLE], pa.binary()),
        pa.array([WHOLE, WHOLE], pa.large_binary()),
        pa.array([in_struct(WHOLE)] * 2, STRUCT),
        pa.array([base64.b64encode(WHOLE).decode()] * 2),
    ],
    ids=["binary", "large_binary", "struct", "base64"],
)
def test_pictures_come_in_the_ways_that_datasets_have_them(column: pa.Array) -> None:
    assert accepts("image", column.type)
    converted = convert(column, "image")
    assert converted.values.to_pylist() == [WHOLE, WHOLE]
    assert converted.values.type == pa.large_binary()
    assert converted.problems == ()


def test_a_column_of_numbers_has_no_pictures() -> None:
    assert not accepts("image", pa.int64())
    assert not accepts("image", pa.struct([("path", pa.string())]))


@pytest.mark.parametrize(
    "column",
    [
        pa.array([WHOLE, b"no", WHOLE[:-30], None], pa.binary()),
        pa.array([in_struct(WHOLE), in_struct(b"no"), in_struct(WHOLE[:-30]), None], STRUCT),
        pa.array([base64.b64encode(WHOLE).decode(), "no picture at all", "AAAA", None]),
    ],
    ids=["binary", "struct", "base64"],
)
def test_what_cannot_be_read_is_told_and_a_null_stays_one(column: pa.Array) -> None:
    converted = convert(column, "image")
    assert converted.values.to_pylist() == [WHOLE, None, None, None]
    [(reason, wrong)] = converted.problems
    assert (reason, wrong.tolist()) == (REASON, [False, True, True, False])


@pytest.mark.usefixtures("ray_cluster")
def test_a_damaged_picture_is_quarantined_with_its_reason(tmp_path: Path, workspace: Workspace) -> None:
    (tmp_path / "raw").mkdir()
    table = pa.table({"photo": [WHOLE, WHOLE[:-30], WHOLE, b"text"], "animal": ["cat", "dog", "fox", "cat"]})
    pq.write_table(table, tmp_path / "raw" / "1.parquet")
    features = {"photo": {"type": "image", "height": 4, "width": 4}}
    data = {
        "source": str(tmp_path / "raw"),
        "label": "animal",
        "classes": ["cat", "dog"],
        "features": features,
        "checks": {"max_quarantined_share": 0.8, "min_rows": 1},
    }
    spec = ModelSpec.model_validate({"name": "animals", "data": data, "train": TRAIN})
    result = ingest(spec, workspace, now_s=1.0, run_id="r")
    assert (result.version.rows, result.version.quarantined_rows) == (1, 3)
    assert result.reasons[f"photo: {REASON}"] == 2
    rows = load_version(workspace, result.version)
    assert rows["photo"].to_pylist() == [WHOLE]
    bad = ds.dataset(Lake(str(result.version.quarantine_uri)).root).to_table()
    assert bad.filter(pc.field("animal") == "dog")["photo"].to_pylist() == [WHOLE[:-30]], "as it came"
