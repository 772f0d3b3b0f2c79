"""Dataset versions as values, and references to them."""

import json
from dataclasses import replace

import pytest

from mlops_ray.data import DatasetVersion, SourceObject
from mlops_ray.data.source import fingerprint
from mlops_ray.data.version import (
    Reference,
    check_ref_name,
    parse_reference,
    parse_time,
    split_reference,
    version_digest,
)
from mlops_ray.errors import DataError, UnknownVersionError

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
        ("churn@v3", Reference(3)),
        ("main", Reference()),
        ("1970-01-01T00:02Z", Reference(at_s=120.0)),
        ("churn@1970-01-01T02:00:30+02:00", Reference(at_s=30.0)),
        ("mlops.churn@before-the-move", Reference(name="before-the-move")),
        ("newest", Reference(name="newest")),
    ],
)
def test_a_reference_is_latest_a_number_a_snapshot_a_time_or_a_name(text: str, expected: Reference) -> None:
    assert parse_reference(text, "mlops.churn") == expected


@pytest.mark.parametrize("text", ["", "3", "v0", "V3", "v1 or v2", "snapshot:x", "churn@", "a:b"])
def test_anything_else_is_refused_with_the_forms_there_are(text: str) -> None:
    with pytest.raises(UnknownVersionError, match="expected latest, v<number>, snapshot:<id>, a time"):
        parse_reference(text, "mlops.churn")


def test_a_reference_into_another_table_is_refused() -> None:
    with pytest.raises(UnknownVersionError, match=r"expected the table mlops\.churn, found mlops\.fraud"):
        parse_reference("mlops.fraud@v1", "mlops.churn")
    with pytest.raises(UnknownVersionError, match=r"expected the table mlops\.churn, found none"):
        parse_reference("@v1", "mlops.churn")
    with pytest.raises(UnknownVersionError, match=r"expected the table shop\.churn, found churn"):
        parse_reference("churn@v1", "shop.churn")


@pytest.mark.parametrize("text", ["2026-11-01", "2026-11-01T00:00", "2026-13-01T00:00Z", "2026-11-01T00:00Q"])
def test_a_time_needs_its_zone(text: str) -> None:
    with pytest.raises(UnknownVersionError, match=r"expected a form like 2026-11-01T00:00Z"):
        parse_time(text)


@pytest.mark.parametrize("name", ["v1", "V12", "latest", "Latest", "main", "HEAD", "1st", "a b", "a@b", "", "x" * 65])
def test_a_name_that_could_be_read_as_another_reference_is_refused(name: str) -> None:
    with pytest.raises(DataError, match="expected a letter, then at most 63"):
        check_ref_name(name)


def test_a_dataset_is_a_table_or_the_short_name_of_one() -> None:
    assert split_reference("churn") == ("mlops.churn", "latest")
    assert split_reference("shop.orders@2026-11-01T00:00+01:00") == ("shop.orders", "2026-11-01T00:00+01:00")
    with pytest.raises(UnknownVersionError, match="expected <name> or <namespace>"):
        split_reference("a/b@v1")


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
