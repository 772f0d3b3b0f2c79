"""The README's commands, run as they stand there."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlops_ray.spec import Workspace

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def block(heading: str) -> list[str]:
    """The commands of the first shell block under a heading, without their comments."""
    found = re.search(rf"^## {re.escape(heading)}$.*?^```bash\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    assert found is not None, f"the README has no commands under {heading!r}"
    lines = [re.sub(r"\s{2,}#.*", "", line).strip() for line in found.group(1).splitlines()]
    return [line for line in lines if line]


def fraud_rows(rows: int) -> pa.Table:
    rng = np.random.default_rng(0)
    income = rng.lognormal(10.5, 0.5, rows)
    segment = rng.choice(["private", "business"], rows)
    risk = 1 / (1 + np.exp((income - 40_000) / 8_000)) * np.where(segment == "business", 0.9, 0.5)
    return pa.table(
        {
            "age": rng.integers(18, 90, rows),
            "income": income,
            "segment": segment,
            "target": (rng.random(rows) < risk).astype(np.int64),
        }
    )


def test_the_two_commands_are_targets_of_the_makefile() -> None:
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert [line.split()[:2] for line in block("Try it")] == [["make", "demo"], ["make", "test"]]
    assert {"setup", "demo", "test"} <= set(targets)


def test_every_command_of_the_table_exists() -> None:
    table = README[README.index("| command |") : README.index("`--json` prints")]
    cells = [row.split("|")[1] for row in table.splitlines()[2:] if row.startswith("|")]
    named = {name for cell in cells for name in re.findall(r"`([a-z ]+)`", cell)}
    done = subprocess.run([sys.executable, "-m", "mlops_ray.cli", "--help"], capture_output=True, text=True, check=True)
    known = set(re.findall(r"^[│ ]+([a-z]+)  ", done.stdout, re.MULTILINE))
    assert {name.split()[0] for name in named} == known


def test_every_command_on_dataset_versions_exists_and_is_explained() -> None:
    command = [sys.executable, "-m", "mlops_ray.cli", "data", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    known = set(re.findall(r"^[│ ]+([a-z]+)  ", done.stdout, re.MULTILINE))
    assert set(re.findall(r"^\| `mlops-ray data ([a-z]+)", README, re.MULTILINE)) == known


@pytest.mark.slow
def test_own_data_goes_from_files_to_an_answer_by_the_readmes_commands(live: Workspace, tmp_path: Path) -> None:
    environment = os.environ | {
        "MLOPS_RAY_HOME": live.home,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    (tmp_path / "data" / "fraud").mkdir(parents=True)
    pq.write_table(fraud_rows(2000), tmp_path / "data" / "fraud" / "1.parquet")
    commands = block("Your own model")
    assert [shlex.split(c)[1] for c in commands[:-1]] == ["init", "spec", "up", "ingest", "train", "deploy"]

    answers = []
    for line in commands:
        if line == "mlops-ray up":
            continue  # the session's cluster is up, on other ports
        command = line.replace("localhost:8000", live.serve).replace("curl", "curl --silent --fail-with-body")
        done = subprocess.run(
            command, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr[-3000:]}"
        answers.append(done.stdout)
    assert '"predictions":[{"score":' in answers[-1]
