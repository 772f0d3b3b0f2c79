import json
import math
from pathlib import Path

import numpy as np
import pytest

from mlops_ray.tracking import Outbox


def entry(number: int) -> dict[str, object]:
    return {"kind": "points", "trial": "t1", "points": [["auc", 0.5, number, 1.0]]}


def test_what_is_appended_is_there_for_the_next_process(tmp_path: Path) -> None:
    Outbox(tmp_path).append(entry(1))
    assert Outbox(tmp_path).entries() == [entry(1)]


def test_what_is_sent_is_not_sent_again_by_the_next_process(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    outbox.append(entry(1))
    outbox.append(entry(2))
    [first], place = outbox.unsent(1)
    assert first == entry(1)
    outbox.runs["t1"] = "run"
    outbox.mark_sent(place)
    again = Outbox(tmp_path)
    assert again.unsent(10)[0] == [entry(2)]
    assert again.runs == {"t1": "run"}


def test_a_line_that_a_killed_process_left_half_written_is_dropped(tmp_path: Path) -> None:
    Outbox(tmp_path).append(entry(1))
    with (tmp_path / "outbox.jsonl").open("a") as file:
        file.write('{"kind": "poi')
    outbox = Outbox(tmp_path)
    outbox.append(entry(2))
    assert outbox.entries() == [entry(1), entry(2)]


def test_numbers_that_are_not_finite_come_back_as_they_were(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    outbox.append({"kind": "points", "trial": "t", "points": [math.nan, math.inf, -math.inf]})
    nan, *infinite = outbox.unsent(1)[0][0]["points"]
    assert math.isnan(nan)
    assert infinite == [math.inf, -math.inf]


def test_numpys_numbers_are_kept_as_numbers(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    outbox.append({"trial": "t", "params": {"leaves": np.int64(7)}})
    assert json.loads(outbox.file.read_text())["params"] == {"leaves": 7}


@pytest.mark.parametrize("count", [0, 2])
def test_waiting_says_whether_all_is_sent(tmp_path: Path, count: int) -> None:
    outbox = Outbox(tmp_path)
    for number in range(count):
        outbox.append(entry(number))
    assert outbox.wait_until_sent(0.01) is (count == 0)
    assert outbox.wait(0.01) is (count > 0)
