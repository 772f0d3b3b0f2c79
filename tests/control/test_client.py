"""Outcomes out of files."""

from pathlib import Path

import pytest

from mlops_ray.control.client import read_labels
from mlops_ray.errors import SourceError


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "labels.csv"
    file.write_text(text)
    return file


def test_a_label_is_a_number_or_the_name_of_a_class(tmp_path: Path) -> None:
    numbers = read_labels(written(tmp_path, "request_id,label\na,1\nb,0.5\n"))
    assert numbers == [{"request_id": "a", "label": 1.0}, {"request_id": "b", "label": 0.5}]
    names = read_labels(written(tmp_path, "request_id,label,row\na,cat,0\n7,dog,2\n"))
    assert names == [{"request_id": "a", "label": "cat", "row": 0}, {"request_id": "7", "label": "dog", "row": 2}]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("request_id,label\na,\nb,cat\n", "empty"),
        ("request_id,label,row\na,1,x\n", "row"),
        ("id,label\na,1\n", "expected"),
    ],
)
def test_what_is_no_outcome_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SourceError, match=said):
        read_labels(written(tmp_path, text))
