"""The scripts of the benchmark run: arguments, a tiny measurement, files that are written in parts."""

import json
from pathlib import Path

import pytest

from benchmarks import serving, soak
from benchmarks.delivery import seen_after_s
from benchmarks.load_client import parse as parse_load
from benchmarks.throughput import SYSTEMS
from benchmarks.workload import make_workload
from tests.benchmarks.samples import answered


def test_all_parts_are_measured_unless_some_are_named() -> None:
    assert tuple(serving.parse([]).parts) == serving.PARTS
    assert serving.parse(["--parts", "arrow", "changes", "--rounds", "1"]).parts == ["arrow", "changes"]


@pytest.mark.parametrize("arguments", [["--parts", "everything"], ["--systems", "nobody"], ["--rounds", "many"]])
def test_unknown_arguments_are_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit):
        serving.parse(arguments)


def test_a_load_is_closed_unless_it_has_a_rate() -> None:
    assert parse_load(["http://127.0.0.1:1/", "bodies.json"]).rate is None
    assert parse_load(["http://127.0.0.1:1/", "bodies.json", "--rate", "5"]).rate == 5


def test_every_shape_of_body_asks_about_the_same_row(tmp_path: Path) -> None:
    workload = make_workload(tmp_path, seed=7)
    numbers = workload.rows[3].tolist()
    for shape in {system.shape for system in SYSTEMS}:
        (row,) = json.loads(json.loads(workload.bodies(shape).read_text())[3])[shape]
        assert (list(row.values()) if isinstance(row, dict) else row) == numbers


def test_one_system_is_measured_from_start_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "result.json"
    arguments = ["--parts", "throughput", "--systems", "plain_fastapi", "--rounds", "2", "--seconds", "0.2"]
    serving.main([*arguments, "--json", "--output", str(output)])
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [(row["system"], row["load"]) for row in result["rows"]] == [
        ("plain_fastapi", "1 connections"),
        ("plain_fastapi", "16 connections"),
    ]
    assert all(row["requests"] > 0 and row["client_cpu_share"] > 0 for row in result["rows"])
    assert json.loads(output.read_text()) == result


def test_parts_that_are_measured_later_join_those_in_the_file() -> None:
    before = {"rows": [{"part": "capture", "n": 1}, {"part": "arrow", "n": 1}], "ratios": {"a": 1.0, "b": 1.0}}
    after = {"rows": [{"part": "arrow", "n": 2}], "ratios": {"b": 2.0}, "wall_s": 3}
    assert serving.merged(before, after) == {
        "rows": [{"part": "capture", "n": 1}, {"part": "arrow", "n": 2}],
        "ratios": {"a": 1.0, "b": 2.0},
        "wall_s": 3,
    }


def test_a_change_is_seen_when_no_answer_is_older() -> None:
    requests = [answered(9.0, epoch=1), answered(10.2, epoch=1), answered(10.1, epoch=2), answered(11.0, epoch=2)]
    assert seen_after_s(requests, 10.0, 2) == pytest.approx(0.21)
    assert seen_after_s(requests, 10.0, 1) == 0.0


def test_the_arguments_of_the_soak_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        soak.main(["--help"])
    assert "--minutes" in capsys.readouterr().out
