"""The list of what an ingest read and wrote."""

import json

from mlops_ray.data import SourceObject
from mlops_ray.data.contents import Contents, FileDigest

SOURCE = SourceObject("s3://raw/a.parquet", "v-1", "etag", 10, "ab" * 32)
FILE = FileDigest("s3://lake/warehouse/mlops/churn/data/1/a.parquet", 20, "cd" * 32)


def test_contents_come_back_the_same() -> None:
    contents = Contents((SOURCE,), (FILE,))
    assert Contents.from_bytes(contents.to_bytes()) == contents


def test_a_plain_list_of_sources_from_before_is_still_read() -> None:
    assert Contents.from_bytes(json.dumps([SOURCE.to_json()]).encode()) == Contents((SOURCE,), ())


def test_the_digest_of_files_is_of_their_contents_and_not_of_their_order() -> None:
    other = FileDigest("s3://lake/b", 20, "ef" * 32)
    assert Contents((), (FILE, other)).files_digest == Contents((SOURCE,), (other, FILE)).files_digest
    assert Contents((), (FILE,)).files_digest != Contents((), (FileDigest(FILE.location, 20, "00" * 32),)).files_digest
