"""Pictures on their way into a dataset: the forms they come in, and the rows that hold none."""

import base64
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlops_ray.data import DatasetTable, ingest, load_version
from mlops_ray.data.conversion import accepts, convert
from mlops_ray.pixels import encode_png
from mlops_ray.spec import ModelSpec, Workspace

PNG = encode_png(np.full((4, 4, 3), 9, np.uint8))


@pytest.mark.parametrize(
    "values",
    [
        pa.array([PNG, None]),
        pa.array([PNG, None], pa.large_binary()),
        pa.array([{"bytes": PNG, "path": "a.png"}, None]),
        pa.array([base64.b64encode(PNG).decode(), None]),
    ],
    ids=["binary", "large_binary", "a struct of Hugging Face", "base64"],
)
def test_a_picture_comes_as_bytes_as_a_struct_or_as_text(values: pa.Array) -> None:
    assert accepts("image", values.type)
    converted = convert(values, "image")
    assert (converted.values.to_pylist(), converted.problems) == ([PNG, None], ())


def test_what_is_no_picture_is_told_row_by_row() -> None:
    converted = convert(pa.array([PNG, b"x", PNG[:40], None]), "image")
    ((what, where),) = converted.problems
    assert (what, where.tolist()) == ("not a picture (JPEG, PNG or WebP) that can be read", [False, True, True, False])
    assert converted.values.to_pylist() == [PNG, None, None, None]
    ((_, where),) = convert(pa.array(["no base64!", base64.b64encode(PNG).decode()]), "image").problems
    assert where.tolist() == [True, False]


def test_numbers_are_no_pictures() -> None:
    assert not accepts("image", pa.int64())
    assert not accepts("image", pa.struct([("path", pa.string())]))


def spec_of(source: Path) -> ModelSpec:
    """Pictures in two classes by name."""
    return ModelSpec.model_validate(
        {
            "name": "pets",
            "data": {
                "source": str(source),
                "label": "kind",
                "classes": ["cat", "7"],
                "features": {"photo": {"type": "image", "height": 4, "width": 4}},
                "checks": {"max_quarantined_share": 0.9},
            },
            "train": {"task": "multiclass", "trainer": "torchvision", "metric": "accuracy"},
        }
    )


@pytest.mark.usefixtures("ray_cluster")
def test_an_ingest_keeps_the_files_and_puts_aside_what_is_none(tmp_path: Path, workspace: Workspace) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    rows = {"photo": [PNG, b"x", PNG, PNG], "kind": ["cat", "cat", "cow", None], "other": [1, 2, 3, 4]}
    pq.write_table(pa.table(rows), raw / "a.parquet")
    done = ingest(spec_of(raw), workspace, now_s=0, run_id="one")
    found = load_version(workspace, DatasetTable.of(spec_of(raw), workspace).resolve("latest"))
    assert found.to_pydict() == {"photo": [PNG, PNG], "kind": ["cat", None]}
    reasons = "photo: not a picture (JPEG, PNG or WebP) that can be read", "kind: not in categories"
    assert all(reason in str(done) for reason in reasons)


@pytest.mark.usefixtures("ray_cluster")
def test_labels_that_are_numbers_are_names_of_classes(tmp_path: Path, workspace: Workspace) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    pq.write_table(pa.table({"photo": [PNG], "kind": [7]}), raw / "a.parquet")
    ingest(spec_of(raw), workspace, now_s=0, run_id="one")
    found = load_version(workspace, DatasetTable.of(spec_of(raw), workspace).resolve("latest"))
    assert found["kind"].to_pylist() == ["7"]
