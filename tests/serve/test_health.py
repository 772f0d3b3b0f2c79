import pytest

from mlops_ray.errors import PredictionError
from mlops_ray.serve.health import check_predicting
from mlops_ray.spec import Serve


@pytest.mark.parametrize(("busy_s", "deadline_ms"), [(0.0, 1000), (10.0, 1000), (10.0, 500), (20.0, 4000)])
def test_a_call_that_may_still_come_to_its_end_is_healthy(busy_s: float, deadline_ms: float) -> None:
    check_predicting(busy_s, Serve(deadline_ms=deadline_ms))


@pytest.mark.parametrize(
    ("busy_s", "deadline_ms", "limit"), [(10.1, 1000, "10"), (10.1, 500, "10"), (20.1, 4000, "20")]
)
def test_a_call_that_hangs_is_not(busy_s: float, deadline_ms: float, limit: str) -> None:
    with pytest.raises(PredictionError, match=f"running for {busy_s:.0f} s, more than {limit} s: it hangs"):
        check_predicting(busy_s, Serve(deadline_ms=deadline_ms))
