"""Every command ends with 2 at wrong usage and with 1 and a sentence at what does not exist, and changes nothing."""

import sqlite3
from pathlib import Path

import pytest

from mlops_ray.store import Event, ModelRecord, Store
from tests.cli.command import mlops_ray

_NOBODY = "http://127.0.0.1:1"


@pytest.mark.parametrize(
    "arguments",
    [
        ["frobnicate"],
        ["ingest"],
        ["train", "churn.yaml", "--trials", "3"],
        ["deploy", "churn.yaml", "--version", "two"],
        ["approve", "churn"],
        ["predict", "churn"],
        ["reproduce", "churn"],
        ["reproduce", "churn@v2", "2"],
        ["predict", "churn", "--input", "folder"],
        ["audit", "log", "--limit", "0"],
        ["up", "--cpus", "many"],
        ["data", "gc", "--older-than-s", "-1"],
    ],
    ids=" ".join,
)
def test_wrong_usage_ends_with_2_and_says_how_it_is_used(tmp_path: Path, arguments: list[str]) -> None:
    done = mlops_ray(*arguments, cwd=tmp_path, as_json=False)
    assert done.code == 2
    assert "Usage:" in done.err
    assert "Traceback" not in done.err
    assert list(tmp_path.rglob("*")) == []


UNKNOWN = {
    "approve churn 3": "churn",
    "promote churn": "churn",
    "rollback churn": "churn",
    "undeploy churn": "churn",
    "analysis churn": "churn",
    "assign churn u1": "churn",
    "postmortem churn": "churn",
    "plan nowhere.yaml": "nowhere.yaml",
    "data log churn": "churn",
    "data show churn@v3": "churn",
    "data checkout churn 2026-11-01T00:00": "2026-11-01T00:00Z",
    "drift churn": "churn",
    "lineage 8f14e45f": "8f14e45f",
    "report churn": "churn",
    "explain 8f14e45f": "8f14e45f",
    "explain --model churn --file nowhere.json": "nowhere.json",
    "explain --model churn": "--file",
    "reproduce churn@3": "churn",
    "reproduce churn 3": "churn",
    "predict churn --records @nowhere.json": "nowhere.json",
    "predict churn --records {": "not valid JSON",
    "labels churn nowhere.csv": "nowhere.csv",
    "labels churn labels.txt": ".csv",
}


@pytest.mark.parametrize("line", UNKNOWN)
def test_what_does_not_exist_is_named_and_nothing_is_changed(tmp_path: Path, line: str) -> None:
    home = tmp_path / "home"
    done = mlops_ray(*line.split(), cwd=tmp_path, home=home)
    assert UNKNOWN[line] in done.error
    assert not (home / "store.db").exists() or Store(f"sqlite:///{home / 'store.db'}").events() == []


@pytest.mark.parametrize("line", ["predict churn --records {}", "labels churn labels.csv"])
def test_a_server_that_does_not_answer_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / "labels.csv").write_text("request_id,label\nr1,1\n")
    done = mlops_ray(*line.split(), cwd=tmp_path, environment={"MLOPS_RAY_SERVE": _NOBODY})
    assert f"nobody answers at {_NOBODY}" in done.error
    assert "mlops-ray up" in done.error


def test_a_cluster_that_does_not_answer_is_named_at_once(tmp_path: Path) -> None:
    assert mlops_ray("init", "churn", cwd=tmp_path).code == 0
    home = tmp_path / "home"
    for command in ("ingest", "train", "deploy"):
        nobody = {"MLOPS_RAY_RAY_ADDRESS": "127.0.0.1:1"}
        done = mlops_ray(command, "churn.yaml", cwd=tmp_path, home=home, environment=nobody, timeout_s=40)
        assert "no Ray cluster answers at 127.0.0.1:1" in done.error
    assert not (home / "store.db").exists() or Store(f"sqlite:///{home / 'store.db'}").models() == []


def test_a_workspace_file_that_is_damaged_is_named(tmp_path: Path) -> None:
    (tmp_path / "workspace.json").write_text('{"home": 3}')
    assert "workspace.json" in mlops_ray("status", cwd=tmp_path, home=tmp_path).error


def test_an_audit_chain_that_was_tampered_with_is_refused_naming_the_event(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'store.db'}")
    store.create()
    _tamper(store, tmp_path / "store.db")
    message = mlops_ray("audit", "verify", cwd=tmp_path, home=tmp_path).error
    assert "does not verify" in message
    assert "model.registered" in message


def _tamper(store: Store, file: Path) -> None:
    for name in ("a", "b", "c"):
        with store.change(Event("model.registered", name, {"name": name}, "test", 1.0)) as change:
            change.put_model(ModelRecord(name, "{}", 1.0))
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE audit_events SET actor = 'somebody else' WHERE seq = 2")
