"""Dataset versions as values, and references to them."""

import json
from dataclasses import replace

import pytest

from mlops_ray.data import DatasetVersion, SourceObject
from mlops_ray.data.source import fingerprint
from mlops_ray.data.version import Reference, parse_reference, version_digest
from mlops_ray.errors import UnknownVersionError

SOURCE = SourceObject("s3://raw/a.parquet", "v-1", "etag", 10, "ab" * 32)
VERSION = DatasetVersion(
    table="mlops.churn",
    number=3,
    snapshot_id="9007199254740993",
    parent_snapshot_id=None,
    rows=10,
    added_rows=10,
    quarantined_rows=0,
    quarantine_uri=None,
    digest="d" * 64,
    schema={"age": "double"},
    sources=(SOURCE,),
    committed_s=1.5,
)


def test_a_version_comes_back_from_json_the_same() -> None:
    assert DatasetVersion.from_json(json.loads(json.dumps(VERSION.to_json()))) == VERSION


def test_the_reference_names_table_and_number() -> None:
    assert VERSION.ref == "mlops.churn@v3"
    assert VERSION.to_json()["ref"] == "mlops.churn@v3"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("latest", Reference()),
        ("v3", Reference(3)),
        ("mlops.churn@v12", Reference(12)),
        ("mlops.churn@latest", Reference()),
        ("snapshot:9007199254740993", Reference(None, "9007199254740993")),
        ("mlops.churn@snapshot:1", Reference(None, "1")),
    ],
)
def test_a_reference_is_latest_a_number_or_a_snapshot(text: str, expected: Reference) -> None:
    assert parse_reference(text, "mlops.churn") == expected


@pytest.mark.parametrize("text", ["", "3", "v0", "v-1", "newest", "v1 or v2", "snapshot:x", "@v1"])
def test_anything_else_is_refused_with_the_forms_there_are(text: str) -> None:
    with pytest.raises(UnknownVersionError, match="expected latest, v<number> or snapshot:<id>"):
        parse_reference(text, "mlops.churn")


def test_a_reference_into_another_table_is_refused() -> None:
    with pytest.raises(UnknownVersionError, match=r"expected the table mlops\.churn, found mlops\.fraud"):
        parse_reference("mlops.fraud@v1", "mlops.churn")


def digest(*sources: SourceObject, parent: str | None = None, rows: int = 1) -> str:
    return version_digest(parent=parent, schema={"a": "long"}, rules={}, sources=sources, added_rows=rows)


def test_the_digest_is_of_contents_not_of_places() -> None:
    moved = replace(SOURCE, uri="file:///elsewhere.parquet", version_id=None, etag="other")
    assert digest(SOURCE) == digest(moved)
    assert digest(SOURCE) != digest(replace(SOURCE, sha256="0" * 64))
    assert digest(SOURCE) != digest(SOURCE, parent="x")
    assert digest(SOURCE) != digest(SOURCE, rows=2)


def test_the_fingerprint_of_sources_does_not_depend_on_their_order() -> None:
    other = replace(SOURCE, uri="s3://raw/b.parquet")
    assert fingerprint([SOURCE, other]) == fingerprint([other, SOURCE]) != fingerprint([SOURCE])


def test_a_source_comes_back_from_json_the_same() -> None:
    assert SourceObject.from_json(SOURCE.to_json()) == SOURCE
