"""`init` and `spec`: beginning with a model, and what is said about a spec that is wrong."""

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from tests.cli.command import mlops_ray
from tests.spec.samples import SPEC, changed


def test_init_writes_a_spec_that_spec_check_accepts_and_the_schema_too(tmp_path: Path) -> None:
    assert mlops_ray("init", "churn", cwd=tmp_path).answer == {"spec": "churn.yaml"}
    checked = mlops_ray("spec", "check", "churn.yaml", cwd=tmp_path)
    assert checked.code == 0
    assert checked.answer["spec"]["name"] == "churn"
    schema = mlops_ray("spec", "schema", cwd=tmp_path, as_json=False)
    jsonschema.validate(yaml.safe_load((tmp_path / "churn.yaml").read_text()), json.loads(schema.out))


def test_init_overwrites_nothing_unless_told_to(tmp_path: Path) -> None:
    (tmp_path / "churn.yaml").write_text("mine")
    assert "--force" in mlops_ray("init", "churn", cwd=tmp_path).error
    assert (tmp_path / "churn.yaml").read_text() == "mine"
    assert mlops_ray("init", "churn", "--force", cwd=tmp_path).code == 0
    assert (tmp_path / "churn.yaml").read_text() != "mine"


@pytest.mark.parametrize("name", ["Churn", "../churn", "9lives", "a b", "x" * 64])
def test_init_refuses_a_name_that_is_no_name(tmp_path: Path, name: str) -> None:
    message = mlops_ray("init", name, cwd=tmp_path).error
    assert repr(name) in message
    assert "expected a lower-case letter" in message
    assert list(tmp_path.rglob("*")) == []


BAD_SPECS = {
    "a wrong key": (changed("train.trails", 3), ["train.trails", "unknown key", "'trials'"]),
    "a wrong type": (changed("train.trials", "many"), ["train.trials", "integer", "'many'"]),
    "a value out of range": (changed("data.checks.max_quarantined_share", 2), ["max_quarantined_share", "1", "2"]),
    "a metric of another task": (changed("train.metric", "rmse"), ["'rmse'", "'binary'", "auc"]),
    "a key that is missing": (changed("data.label", drop=True), ["data.label", "required"]),
    "a key written twice": (SPEC + "\nname: other\n", ["'name'", "twice"]),
    "no YAML": ("name: [", ["not valid YAML"]),
    "a list": ("- churn", ["expected a mapping", "list"]),
    "nothing": ("", ["expected a mapping", "nothing"]),
}


@pytest.mark.parametrize("wrong", BAD_SPECS)
def test_spec_check_says_what_is_wrong_with_a_spec(tmp_path: Path, wrong: str) -> None:
    text, words = BAD_SPECS[wrong]
    (tmp_path / "bad.yaml").write_text(text)
    message = mlops_ray("spec", "check", "bad.yaml", cwd=tmp_path).error
    assert "bad.yaml" in message
    assert [word for word in words if word not in message] == [], message


def test_a_spec_that_is_not_there_is_said_to_be_missing(tmp_path: Path) -> None:
    for command in (["spec", "check"], ["ingest"], ["train"], ["deploy"]):
        assert "no such file" in mlops_ray(*command, "nowhere.yaml", cwd=tmp_path).error
    assert list(tmp_path.rglob("*")) == []


def test_a_spec_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_bytes(b"\xff\xfe\x00")
    assert "UTF-8" in mlops_ray("spec", "check", "bad.yaml", cwd=tmp_path).error
    assert "cannot be read" in mlops_ray("spec", "check", ".", cwd=tmp_path).error
