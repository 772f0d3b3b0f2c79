"""Rules about the data and their severities, as a spec may and may not have them."""

import json
from typing import Any

import pytest

from mlops_ray.errors import SpecError
from mlops_ray.spec import ModelSpec, parse_spec


def spec_of(feature: Any, checks: dict[str, Any] | None = None, **data: Any) -> ModelSpec:
    features = {"a": feature, "b": "int"}
    content = {"source": "raw", "label": "y", "features": features, "checks": checks or {}, **data}
    return parse_spec(json.dumps({"name": "x", "data": content}))


def test_one_word_is_for_every_rule_that_may_have_it() -> None:
    feature = spec_of({"type": "int", "severity": "warn"}).data.features["a"]
    assert [feature.severity_of(rule) for rule in ("min", "null_share", "type")] == ["warn", "warn", "quarantine"]
    checks = spec_of("int", {"severity": "warn"}).data.checks
    assert (checks.severity_of("min_rows"), checks.severity_of("max_leakage")) == ("warn", "warn")


def test_a_mapping_is_for_the_rules_it_names() -> None:
    feature = spec_of({"type": "int", "severity": {"min": "block"}}).data.features["a"]
    assert [feature.severity_of(rule) for rule in ("min", "max", "null_share")] == ["block", "quarantine", "block"]
    assert spec_of("int", {"severity": {"unique": "warn"}}).data.checks.severity_of("min_rows") == "block"


@pytest.mark.parametrize(
    ("feature", "checks", "message"),
    [
        (
            {"type": "int", "severity": "wrn"},
            {},
            "data.features.a.severity: expected quarantine or block or warn, or a",
        ),
        (
            {"type": "int", "severity": {"min": "x"}},
            {},
            "data.features.a.severity.min: expected 'warn', 'quarantine' or",
        ),
        ({"type": "int", "severity": {"type": "warn"}}, {}, "severity of type can be quarantine or block, found warn"),
        (
            {"type": "category", "regex": "(?=a)"},
            {},
            "a pattern without look-around and back-references, found '(?=a)'",
        ),
        ({"type": "category", "regex": "(a"}, {}, "data.features.a.regex: expected a regular expression, found '(a'"),
        ({"type": "int", "regex": "a"}, {}, "regex is for features of type category, not int"),
        ("int", {"severity": "quarantine"}, "data.checks.severity: expected warn or block, or a mapping"),
        ("int", {"row_change": [2, 1]}, "row_change is (smallest, largest)"),
        ("int", {"unique_in": "table"}, "unique_in is 'table', but unique names no columns"),
        ("int", {"max_age_s": 5}, "checks.max_age_s needs data.timestamp"),
        ("int", {"distribution": {"features": ["zz"]}}, "checks.distribution names 'zz'"),
        ("int", {"foreign_keys": [{"column": "q", "dataset": "m.p@v1", "key": "k"}]}, "checks.foreign_keys names 'q'"),
        (
            "int",
            {"foreign_keys": [{"column": "a", "dataset": "m.p", "key": "k"}]},
            "data.checks.foreign_keys[0].dataset:",
        ),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(feature: Any, checks: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as error:
        spec_of(feature, checks)
    assert message in str(error.value)


@pytest.mark.parametrize("word", ["off", "warn", "reject"])
def test_off_is_a_word_although_yaml_reads_it_as_false(word: str) -> None:
    text = f"name: x\ndata: {{source: raw, label: y, features: {{a: int}}}}\nserve: {{validation: {word}}}"
    assert parse_spec(text).serve.validation == word
