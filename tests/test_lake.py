"""The lake: bytes at a URI, in a folder."""

import pickle
from pathlib import Path

import pytest

from mlops_ray.errors import SourceError
from mlops_ray.lake import Lake, S3Connection


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake((tmp_path / "a lake").as_uri())


def test_what_was_written_is_read_back(lake: Lake) -> None:
    lake.write_bytes("models/churn/card.md", b"hello")
    assert lake.read_bytes("models/churn/card.md") == b"hello"


def test_writing_again_replaces_the_bytes(lake: Lake) -> None:
    lake.write_bytes("x", b"old and longer")
    lake.write_bytes("x", b"new")
    assert lake.read_bytes("x") == b"new"


def test_a_plain_path_and_its_file_uri_are_the_same_lake(tmp_path: Path) -> None:
    assert Lake(str(tmp_path)).uri == Lake(tmp_path.as_uri()).uri == tmp_path.as_uri()


def test_the_uri_of_a_written_file_can_be_opened_as_a_lake(lake: Lake) -> None:
    uri = lake.write_bytes("models/m 1/card.md", b"hello")
    assert uri == lake.uri_of("models/m 1/card.md")
    assert Lake(uri.rsplit("/", 1)[0]).read_bytes("card.md") == b"hello"


def test_an_s3_uri_names_bucket_and_prefix_without_a_connection() -> None:
    lake = Lake("s3://bucket/some/prefix/")
    assert (lake.uri, lake.root, lake.is_local) == ("s3://bucket/some/prefix", "bucket/some/prefix", False)
    assert lake.uri_of("a/b") == "s3://bucket/some/prefix/a/b"


def test_a_uri_of_another_kind_is_refused() -> None:
    with pytest.raises(SourceError, match=r"expected a folder, file:///folder or s3://.*|gs://"):
        Lake("gs://bucket")


def test_reading_what_is_not_there_names_the_uri(lake: Lake) -> None:
    with pytest.raises(SourceError, match=r"a%20lake/no/such: expected a file, found nothing"):
        lake.read_bytes("no/such")


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "a/../../x", ""])
def test_a_path_cannot_lead_out_of_the_lake(lake: Lake, path: str) -> None:
    with pytest.raises(SourceError, match="relative to the lake"):
        lake.read_bytes(path)


def test_a_listing_is_sorted_recursive_and_relative(lake: Lake) -> None:
    for path in ("m/b.parquet", "m/a/c.parquet", "m/a/d.json", "n/e.parquet"):
        lake.write_bytes(path, b"")
    assert lake.list("m") == ["m/a/c.parquet", "m/a/d.json", "m/b.parquet"]
    assert lake.list("m", ".parquet") == ["m/a/c.parquet", "m/b.parquet"]
    assert lake.list("")[-1] == "n/e.parquet"


def test_listing_a_prefix_that_does_not_exist_is_empty(lake: Lake) -> None:
    assert lake.list("nothing") == []


def test_half_written_files_are_not_listed(lake: Lake) -> None:
    lake.write_bytes("m/whole", b"1")
    (Path(lake.root) / "m" / ".whole.0123").write_bytes(b"half")
    assert lake.list("m") == ["m/whole"]


def test_a_write_leaves_no_temporary_file(lake: Lake) -> None:
    lake.write_bytes("m/whole", b"1")
    assert [file.name for file in (Path(lake.root) / "m").iterdir()] == ["whole"]


def test_exists_tells_files_and_folders_from_nothing(lake: Lake) -> None:
    lake.write_bytes("m/x", b"")
    assert (lake.exists("m"), lake.exists("m/x"), lake.exists("m/y")) == (True, True, False)


def test_a_folder_goes_up_and_comes_down_the_same(lake: Lake, tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    (folder / "deep").mkdir(parents=True)
    (folder / "one").write_bytes(b"1")
    (folder / "deep" / "two").write_bytes(b"2")
    assert lake.upload(folder, "models/m/1") == lake.uri_of("models/m/1")
    copy = lake.download("models/m/1", tmp_path / "copy")
    assert (copy / "one").read_bytes() == b"1"
    assert (copy / "deep" / "two").read_bytes() == b"2"


def test_downloading_nothing_is_an_error(lake: Lake, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="expected a folder with files"):
        lake.download("models/none", tmp_path)


def test_remove_takes_a_file_a_folder_or_nothing(lake: Lake) -> None:
    lake.write_bytes("m/x", b"")
    lake.write_bytes("m/y", b"")
    lake.remove("m/x")
    assert lake.list("m") == ["m/y"]
    lake.remove("m")
    lake.remove("m")
    assert not lake.exists("m")


def test_a_lake_survives_pickling_with_its_filesystem_open(lake: Lake) -> None:
    lake.write_bytes("x", b"1")
    assert pickle.loads(pickle.dumps(lake)).read_bytes("x") == b"1"


def test_the_s3_endpoint_of_the_service_comes_before_the_general_one() -> None:
    environment = {"AWS_ENDPOINT_URL": "http://all", "AWS_ENDPOINT_URL_S3": "http://s3"}
    assert S3Connection.of(environment).endpoint == "http://s3"


def test_a_server_of_ones_own_needs_no_region() -> None:
    assert S3Connection.of({"AWS_ENDPOINT_URL": "http://here"}).region == "us-east-1"
    assert S3Connection.of({}).region is None


def test_keys_are_not_shown() -> None:
    connection = S3Connection.of({"AWS_ACCESS_KEY_ID": "me", "AWS_SECRET_ACCESS_KEY": "hidden"})
    assert "hidden" not in repr(connection)
    assert connection.secret_key == "hidden"
