"""Many files are read by another process, few are read here."""

import os
from pathlib import Path

import pytest

from mlops_ray.lake import Lake
from mlops_ray.monitor.answered_rows import AnsweredRows
from mlops_ray.monitor.ray_task import as_ray_task
from mlops_ray.monitor.reference import Watched
from mlops_ray.records import RecordLog
from tests.monitor.samples import SIGNATURE, labels, reference, served

NOW_S = 1_700_000_000.0


def where(_files: list[str]) -> int:
    return os.getpid()


def test_few_files_are_read_here() -> None:
    assert as_ray_task(where, ["one"]) == os.getpid()


@pytest.mark.slow
def test_many_files_are_read_and_joined_elsewhere(ray_cluster: str, tmp_path: Path) -> None:
    assert ray_cluster
    assert as_ray_task(where, ["file"] * 100) != os.getpid()
    log = RecordLog(Lake(str(tmp_path)), "toy")
    for i in range(30):
        log.append_served(f"batch-{i:02d}", served({"request_id": f"r{i}", "time_s": NOW_S + i, "score": 0.5}), NOW_S)
    log.append_labels("labels", labels(*[(f"r{i}", 0, 1.0, NOW_S + 60) for i in range(30)]), NOW_S)
    watched = Watched(1, SIGNATURE, reference(), {})
    answered = AnsweredRows(log, 1, "binary", watched, as_ray_task)
    here = AnsweredRows(log, 1, "binary", watched)
    for rows in (answered, here):
        rows.look(NOW_S)
    assert answered.rows(NOW_S).num_rows == 30
    assert answered.rows(NOW_S).equals(here.rows(NOW_S))
