"""Which files of a folder are raw files."""

import os
from pathlib import Path

import pytest

from mlops_ray.data.listing import list_sources
from mlops_ray.errors import SourceError
from mlops_ray.lake import S3Connection
from tests.data.batches import table_of, write


def names(folder: Path) -> list[str]:
    return [source.uri.removeprefix(folder.as_uri() + "/") for source in list_sources(str(folder), S3Connection())]


def test_files_are_listed_recursively_and_sorted(tmp_path: Path) -> None:
    for name in ("b.parquet", "a/z.parquet", "a/B.PARQUET"):
        write((tmp_path / name).parent, Path(name).name, table_of(1))
    assert names(tmp_path) == ["a/B.PARQUET", "a/z.parquet", "b.parquet"]


@pytest.mark.parametrize(
    "name", [".hidden.parquet", "_SUCCESS.parquet", "_tmp/a.parquet", ".x/a.parquet", "a.json", "a.csv.zip"]
)
def test_hidden_and_other_files_are_not_listed(tmp_path: Path, name: str) -> None:
    write(tmp_path, "b.parquet", table_of(1))
    write((tmp_path / name).parent, Path(name).name, table_of(1))
    assert names(tmp_path) == ["b.parquet"]


def test_files_of_every_format_are_listed_unless_one_is_chosen(tmp_path: Path) -> None:
    every = ["a.csv", "b.CSV.gz", "c.jsonl", "d.jsonl.gz", "e.ndjson", "f.ndjson.gz", "g.parquet"]
    for name in every:
        (tmp_path / name).touch()
    assert names(tmp_path) == every
    chosen = list_sources(str(tmp_path), S3Connection(), only="csv")
    assert [source.uri.rsplit("/", 1)[1] for source in chosen] == ["a.csv", "b.CSV.gz"]


def test_a_folder_and_its_file_uri_list_the_same(tmp_path: Path) -> None:
    write(tmp_path / "a b", "x.parquet", table_of(1))
    folder = tmp_path / "a b"
    assert list_sources(str(folder), S3Connection()) == list_sources(folder.as_uri(), S3Connection())


def test_a_file_written_again_is_another_object_at_the_same_uri(tmp_path: Path) -> None:
    file = write(tmp_path, "x.parquet", table_of(1))
    (before,) = list_sources(str(tmp_path), S3Connection())
    os.utime(file, ns=(1, 1))
    (after,) = list_sources(str(tmp_path), S3Connection())
    assert before.uri == after.uri
    assert before.identity != after.identity


def test_a_file_where_a_folder_is_expected_is_named(tmp_path: Path) -> None:
    file = write(tmp_path, "x.parquet", table_of(1))
    with pytest.raises(SourceError, match=r"x\.parquet: expected a folder with raw files, found a file"):
        list_sources(str(file), S3Connection())
