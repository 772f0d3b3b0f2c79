"""The validation benchmark: its ratios, and a small run of it."""

import pytest

from benchmarks.data_rounds import Timed
from benchmarks.validation import measure_memory, measure_validation, memory_ratios, validation_ratios


def timed(*rounds_s: float, peak_bytes: int | None = None) -> Timed:
    return Timed("part", "system", 10, rounds_s, 1.0, 10.0, peak_bytes)


def test_a_ratio_is_the_median_of_the_rounds_own_ratios() -> None:
    found = {
        "engine": timed(1.0, 2.0, 4.0),
        "ray.data.read_parquet": timed(1.0, 1.0, 2.0),
        "the same, 2 footer actors": timed(0.5, 1.0, 4.0),
        "reading tasks": timed(0.5, 0.5, 1.0),
        "Great Expectations": timed(10.0, 10.0, 40.0),
    }
    assert validation_ratios(found) == {
        "validate_over_read_time": 2.0,
        "validate_over_tuned_read_time": 2.0,
        "validate_over_own_read_time": 4.0,
        "validation_over_great_expectations": 10.0,
    }


def test_memory_is_told_with_and_without_what_an_idle_ray_has() -> None:
    few = timed(1.0, peak_bytes=800), timed(1.0, peak_bytes=1000)
    many = timed(1.0, peak_bytes=800), timed(1.0, peak_bytes=1100)
    assert memory_ratios(few, many, times=20) == {
        "peak_memory_20x_rows_over_1x": 1.1,
        "memory_above_idle_20x_rows_over_1x": 1.5,
    }


@pytest.mark.slow
@pytest.mark.usefixtures("ray_cluster")
def test_a_small_run_measures_the_engine_and_reading() -> None:
    validation = measure_validation(rows=2000, rounds=1, great_expectations=None)
    assert [row.system for row in validation.rows] == [
        "engine",
        "ray.data.read_parquet",
        "the same, 2 footer actors",
        "reading tasks",
    ]
    assert all(row.amount == 2000 for row in validation.rows)
    assert all(ratio > 0 for ratio in validation.ratios.values())
    memory = measure_memory(rows=2000, times=2)
    assert [(row.system, row.amount) for row in memory.rows] == [
        ("idle", 0),
        ("engine", 2000),
        ("idle", 0),
        ("engine", 4000),
    ]
    assert memory.ratios["peak_memory_2x_rows_over_1x"] > 0
