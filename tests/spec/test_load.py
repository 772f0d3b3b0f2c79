"""Text and files to specs."""

import json
from pathlib import Path

import jsonschema
import pydantic
import pytest
import yaml

from mlops_ray.errors import SpecError
from mlops_ray.spec import Choice, IntRange, LogRange, ModelSpec, Range, json_schema, load_spec, parse_spec
from tests.spec.samples import SPEC, content


def test_a_spec_of_a_name_and_data_has_a_default_for_all_else() -> None:
    spec = parse_spec("{name: m, data: {source: s, label: y, features: {x: float}}}")
    assert spec.table == "mlops.m"
    assert spec.train.maximize
    assert [sink.type for sink in spec.alerts] == ["log"]
    assert spec.data.columns == ("x", "y")


def test_a_spec_holds_what_was_written() -> None:
    spec = parse_spec(SPEC)
    assert spec.data.columns == ("customer", "at", "tenure", "charges", "plan", "paperless", "churned")
    assert [name for name, feature in spec.data.features.items() if feature.nullable] == ["charges"]
    assert dict(spec.train.space) == {
        "learning_rate": LogRange(log_uniform=(0.001, 0.3)),
        "num_leaves": IntRange(int_uniform=(8, 64)),
        "subsample": Range(uniform=(0.5, 1.0)),
        "boosting": Choice(choice=("gbdt", "dart")),
        "max_bin": 63,
    }


def test_a_spec_survives_the_round_trip_through_json_and_yaml() -> None:
    spec = parse_spec(SPEC)
    assert parse_spec(spec.model_dump_json()) == spec
    assert ModelSpec.model_validate_json(spec.model_dump_json()) == spec
    assert parse_spec(yaml.safe_dump(spec.model_dump(mode="json"))) == spec


@pytest.mark.parametrize("section", ["data", "train", "serve", "rollout", "monitor", "retrain"])
def test_a_spec_is_frozen(section: str) -> None:
    spec = parse_spec(SPEC)
    for part in (spec, getattr(spec, section)):
        with pytest.raises(pydantic.ValidationError, match="frozen"):
            setattr(part, next(iter(type(part).model_fields)), "other")


def test_choices_keep_the_types_they_were_written_with() -> None:
    spec = parse_spec(SPEC.replace("[gbdt, dart]", '[1, 1.5, 1e-3, true, "1", -2E+4]'))
    choice = spec.train.space["boosting"]
    assert isinstance(choice, Choice)
    assert [(type(value), value) for value in choice.choice] == [
        (int, 1),
        (float, 1.5),
        (float, 0.001),
        (bool, True),
        (str, "1"),
        (float, -20000.0),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a mapping of sections, found nothing"),
        ("- a", r"expected a mapping of sections, found \['a'\] \(list\)"),
        ("just text", r"expected a mapping of sections, found 'just text' \(str\)"),
        ("a: [", "not valid YAML: while parsing a flow node"),
        ("a: 1\n\tb: 2", "not valid YAML: .*line 2"),
        ("name: a\nname: b", "line 2: key 'name' is written twice; keep one of them"),
        ("name: a\ndata:\n  label: x\n  label: y", "line 4: key 'label' is written twice"),
        ("{[1]: 2}", "not valid YAML: .*unhashable key"),
        ("at: 2024-13-45", "not valid YAML: month must be in 1..12"),
        ("[" * 20_000, "not valid YAML: "),
        ("\x00", "not valid YAML: "),
        ("!!python/object/apply:os.system ['true']", "not valid YAML: could not determine a constructor"),
    ],
)
def test_what_is_no_spec_at_all_says_so(text: str, message: str) -> None:
    with pytest.raises(SpecError, match=rf"^m\.yaml: {message}"):
        parse_spec(text, origin="m.yaml")


def test_keys_that_are_no_text_are_refused() -> None:
    with pytest.raises(SpecError, match="keys should be strings, found 1"):
        parse_spec("1: 2")


def test_a_relative_source_is_taken_from_the_folder_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "m.yaml"
    file.write_text(SPEC.replace("/data/churn", "raw/churn"))
    assert load_spec(file).data.source == str(tmp_path / "raw" / "churn")


@pytest.mark.parametrize("source", ["/data/churn", "s3://bucket/churn"])
def test_an_absolute_source_stays(tmp_path: Path, source: str) -> None:
    file = tmp_path / "m.yaml"
    file.write_text(SPEC.replace("/data/churn", source))
    assert load_spec(str(file)).data.source == source


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"m\.yaml: no such file; `mlops-ray init NAME` writes one"):
        load_spec(tmp_path / "m.yaml")


@pytest.mark.parametrize("kind", ["folder", "binary"])
def test_a_file_that_is_no_text_is_named(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "m.yaml"
    if kind == "folder":
        path.mkdir()
    else:
        path.write_bytes(b"\xff\xfe\x00PAR1")
    with pytest.raises(SpecError, match=r"m\.yaml: cannot be read as UTF-8 text"):
        load_spec(path)


def test_the_schema_takes_a_good_spec_and_refuses_bad_ones() -> None:
    schema = json.loads(json_schema())
    validator = jsonschema.Draft202012Validator(schema)
    validator.check_schema(schema)
    validator.validate(content())
    for key, value in (("nmae", "x"), ("name", 5), ("alerts", [{"type": "mail"}]), ("train", {"trials": 0})):
        assert list(validator.iter_errors(content() | {key: value})), key


def test_the_schema_takes_the_short_form_of_a_feature() -> None:
    validator = jsonschema.Draft202012Validator(json.loads(json_schema()))
    validator.validate(yaml.safe_load("{name: m, data: {source: s, label: y, features: {x: float}}}"))


def test_the_key_on_is_read_as_it_is_written_and_the_value_off_is_false() -> None:
    text = "name: m\ndata: {source: /r, label: y, features: {a: float}}\nretrain: {golden: mlops.golden@v1}\n"
    spec = parse_spec(text + "gates:\n  - metric: auc\n    min: 0.7\n    on: golden\nmonitor: {enabled: off}\n")
    assert spec.gates[0].on == "golden"
    assert not spec.monitor.enabled
