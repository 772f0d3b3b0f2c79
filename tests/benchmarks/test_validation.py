"""The validation benchmark: its ratios, and a small run of it."""

from typing import Any

import pytest

from benchmarks.validation import validation_ratios, validation_rows


def test_a_ratio_is_the_median_of_the_rounds_own_ratios() -> None:
    rows: list[dict[str, Any]] = [
        {"part": "validation", "system": "engine", "seconds": [1.0, 2.0, 4.0]},
        {"part": "validation", "system": "read", "seconds": [1.0, 1.0, 2.0]},
        {"part": "validation", "system": "great expectations", "seconds": [10.0, 10.0, 40.0]},
        {"part": "validation memory", "system": "engine", "rows": 1, "bytes": 100},
        {"part": "validation memory", "system": "engine", "rows": 20, "bytes": 110},
    ]
    assert validation_ratios(rows) == {
        "validation_over_great_expectations": 10.0,
        "validate_over_read_time": 2.0,
        "peak_memory_20m_over_1m": 1.1,
    }


@pytest.mark.usefixtures("ray_cluster")
def test_a_small_run_measures_the_engine_and_reading() -> None:
    rows, ratios = validation_rows(rows=2000, times=2, rounds=1, great_expectations=None)
    assert [(row["system"], row["rows"]) for row in rows] == [
        ("engine", 2000),
        ("read", 2000),
        ("engine", 2000),
        ("engine", 4000),
    ]
    assert list(ratios) == ["validate_over_read_time", "peak_memory_20m_over_1m"]
    assert all(ratio > 0 for ratio in ratios.values())
