import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from typer.testing import CliRunner

from mlops_ray.ci import Provider, smoke_spec, workflow_files
from mlops_ray.cli.app import app
from mlops_ray.spec import parse_spec, spec_template
from tests.cli.command import Done, mlops_ray, running_for

SPEC: dict[str, Any] = {
    "name": "orders",
    "data": {
        "source": "s3://elsewhere/orders",
        "label": "y",
        "features": {"a": "float", "b": "int"},
        "checks": {"min_rows": 200},
    },
    "train": {"trials": 20, "max_iterations": 300, "time_budget_s": 60, "seed": 3},
    "gates": [{"metric": "auc", "min": 0.99}],
    "approval": {"required": 2},
}
PLACES: dict[Provider, str] = {"github": ".github/workflows/model.yml", "gitlab": ".gitlab-ci.yml"}


def workflow(provider: Provider) -> Any:
    return yaml.safe_load(workflow_files(provider, spec="models/orders.yaml", model="orders")[PLACES[provider]])


@pytest.mark.parametrize(("provider", "schema"), [("github", "github-workflows"), ("gitlab", "gitlab-ci")])
def test_a_workflow_is_one_by_the_published_schema(provider: Provider, schema: str) -> None:
    pytest.importorskip("check_jsonschema", reason="holds the schemas")
    published = files("check_jsonschema.builtin_schemas.vendor").joinpath(f"{schema}.json").read_text()
    content = {("on" if key is True else key): value for key, value in workflow(provider).items()}  # YAML 1.1's `on`
    kind = jsonschema.validators.validator_for(json.loads(published))
    assert [error.message for error in kind(json.loads(published)).iter_errors(content)] == []
    content["jobs" if provider == "github" else "model"] = 3
    assert list(kind(json.loads(published)).iter_errors(content))


@pytest.mark.parametrize("provider", ["github", "gitlab"])
def test_everything_is_named_after_the_model(provider: Provider) -> None:
    for path, text in workflow_files(provider, spec="models/orders.yaml", model="orders").items():
        assert "@@" not in path + text


@pytest.mark.parametrize("provider", ["github", "gitlab"])
def test_every_command_of_a_workflow_is_one_of_ours_with_such_options(provider: Provider) -> None:
    for command in commands(provider):
        words = command.split()
        if words[0] != "mlops-ray":
            continue
        group = 3 if words[1] in ("spec", "ci", "check") else 2
        shown = CliRunner().invoke(app, [*words[1:group], "--help"], env={"COLUMNS": "200"})
        assert shown.exit_code == 0, command
        for option in words[group:]:
            assert not option.startswith("--") or option in shown.stdout, command


def commands(provider: Provider, *jobs: str) -> Iterator[str]:
    """What the jobs run, in order; of all jobs by default."""
    content = workflow(provider)
    if provider == "github":
        for name, job in content["jobs"].items():
            yield from (step["run"] for step in job["steps"] if "run" in step and (not jobs or name in jobs))
    else:
        for name, job in content.items():
            if isinstance(job, dict) and "script" in job and (not jobs or name in jobs):
                yield from (*job["script"], *job.get("after_script", ()))


def test_production_comes_after_staging_and_waits_for_people() -> None:
    github = workflow("github")["jobs"]
    assert (github["production"]["needs"], github["production"]["environment"]) == ("staging", "production")
    assert github["staging"]["needs"] == "model"
    gitlab = workflow("gitlab")
    assert gitlab["stages"].index("production") > gitlab["stages"].index("staging")
    assert gitlab["production"]["rules"][0]["when"] == "manual"


def test_a_smoke_spec_is_small_and_keeps_the_rules_of_the_data() -> None:
    small = parse_spec(smoke_spec(json.dumps(SPEC), source="/sample"))
    assert (small.train.trials, small.train.max_iterations, small.train.seed) == (1, 20, 3)
    assert (small.gates, small.approval.required, small.train.time_budget_s) == ((), 0, None)
    assert (small.data.source, small.data.checks.min_rows) == ("/sample", 200)
    assert small.data.features == parse_spec(json.dumps(SPEC)).data.features


def test_the_specs_that_init_writes_can_be_made_small() -> None:
    assert parse_spec(smoke_spec(spec_template("fraud"), source="/sample")).train.trials == 1


def rows(count: int, seed: int) -> pa.Table:
    generator = np.random.default_rng(seed)
    a = generator.normal(size=count)
    noise = generator.normal(size=count)
    return pa.table({"a": a, "b": generator.integers(0, 9, count), "y": (a + noise > 0).astype(np.int64)})


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A model's repository, with a sample and fixed rows."""
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "orders.yaml").write_text(json.dumps(SPEC))
    (tmp_path / "ci" / "sample").mkdir(parents=True)
    pq.write_table(rows(600, 0), tmp_path / "ci" / "sample" / "1.parquet")
    pq.write_table(rows(400, 1), tmp_path / "ci" / "fixed.parquet")
    return tmp_path


def init(repository: Path, *options: str) -> Done:
    """`ci init`, with this checkout's package."""
    found = {"PYTHONPATH": str(Path(__file__).parents[2])}
    return mlops_ray("ci", "init", "models/orders.yaml", *options, cwd=repository, environment=found)


def test_init_writes_once_and_leaves_what_is_there(repository: Path) -> None:
    (repository / "requirements.txt").write_text("mine\n")
    done = init(repository, str(repository))
    assert done.answer["files"] == [".github/workflows/model.yml", "tests/test_orders_spec.py"]
    assert (repository / "requirements.txt").read_text() == "mine\n"
    assert "exists" in init(repository).error
    assert init(repository, "--gitlab").answer["files"] == [".gitlab-ci.yml"]


@pytest.mark.slow
@pytest.mark.parametrize("provider", ["github", "gitlab"])
def test_what_a_workflow_runs_on_its_runner_passes_and_finds_a_regression(repository: Path, provider: Provider) -> None:
    """Every command of the jobs `code` and `model`, in a shell, as a runner does; what pip installs is here already."""
    init(repository, *(["--gitlab"] if provider == "gitlab" else []))
    programs = repository / "bin"
    programs.mkdir()
    (programs / "mlops-ray").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m mlops_ray.cli "$@"\n')
    (programs / "mlops-ray").chmod(0o755)
    (programs / "python").symlink_to(sys.executable)
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("RAY_", "MLOPS_RAY_", "PYTEST_"))}
    environment = inherited | {"PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": str(Path(__file__).parents[2])}

    def shell(command: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            ["bash", "-ec", command], cwd=repository, env=environment, capture_output=True, text=True, check=False
        )

    check = ""
    try:
        for command in commands(provider, "code", "model"):
            if command.startswith("pip ") or command == "mlops-ray down":
                continue
            if "check performance" in command:
                check = command
                assert "no baseline" in shell(command).stderr
                assert shell(f"{command} --record").returncode == 0
            done = shell(command)
            assert done.returncode == 0, (command, done.stdout, done.stderr)
        assert check, "the performance is checked"
        baseline = repository / "ci" / "baseline.json"
        better = json.loads(baseline.read_text())
        better["metrics"]["auc"] += 0.05
        baseline.write_text(json.dumps(better))
        assert shell(check).returncode == 3
    finally:
        assert shell("mlops-ray down").returncode == 0
    assert running_for(repository / ".mlops_ray") == []
