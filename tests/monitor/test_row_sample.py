import numpy as np

from mlops_ray.monitor.row_sample import RowSample


def test_rows_come_from_all_of_the_span_and_their_number_is_bounded() -> None:
    sample = RowSample(span_s=480, rows=96, seed=0)
    for second in range(2000):
        sample.add(float(second), np.full((20, 2), float(second)))
    times = sample.rows(10_000)[:, 0]
    assert 96 <= len(times) <= 250
    assert times.min() >= 1510
    assert len(np.unique(times // 10)) == 48
    assert len(sample.rows(50)) == 50


def test_each_row_of_a_piece_has_the_same_chance() -> None:
    firsts = []
    for seed in range(300):
        sample = RowSample(span_s=48, rows=24, seed=seed)
        sample.add(0.0, np.arange(10.0)[:, None])
        firsts.append(float(sample.rows(1)[0, 0]))
    assert abs(np.mean(firsts) - 4.5) < 0.7


def test_a_span_is_covered_after_its_time() -> None:
    sample = RowSample(span_s=480, rows=96, seed=0)
    assert not sample.covers(0.0)
    sample.add(1000.0, np.zeros((1, 1)))
    assert not sample.covers(1200.0)
    assert sample.covers(1480.0)


def test_nothing_seen_gives_no_rows() -> None:
    assert RowSample(span_s=480, rows=96, seed=0).rows(5).shape[0] == 0
