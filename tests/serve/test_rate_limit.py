from hypothesis import given
from hypothesis import strategies as st

from mlops_ray.serve.rate_limit import TokenBucket


def test_as_many_as_come_in_a_second_may_come_at_once() -> None:
    bucket = TokenBucket(5.0, 0.0)
    assert [bucket.take(0.0) for _ in range(5)] == [0.0] * 5
    assert bucket.take(0.0) > 0


def test_who_waits_as_long_as_told_may_pass() -> None:
    bucket = TokenBucket(0.5, 0.0)
    assert bucket.take(0.0) == 0.0
    assert bucket.take(0.0) == 2.0
    assert bucket.take(1.0) == 1.0
    assert bucket.take(2.0) == 0.0


def test_a_long_silence_allows_no_more_than_a_second_does() -> None:
    bucket = TokenBucket(3.0, 0.0)
    assert [bucket.take(1000.0) > 0 for _ in range(4)] == [False, False, False, True]


@given(st.floats(0.1, 200), st.lists(st.floats(0, 0.5), min_size=1, max_size=300))
def test_never_more_pass_than_the_rate_allows(per_s: float, gaps: list[float]) -> None:
    bucket, now_s, passed = TokenBucket(per_s, 0.0), 0.0, 0
    for gap in gaps:
        now_s += gap
        passed += bucket.take(now_s) == 0.0
        assert passed <= max(1.0, per_s) + per_s * now_s + 1e-6
