import threading

from mlops_ray.control.repeating import Repeating
from mlops_ray.errors import TrackingError


def test_work_goes_on_after_it_failed() -> None:
    calls: list[int] = []
    done = threading.Event()

    def work() -> None:
        calls.append(len(calls))
        if len(calls) == 1:
            raise TrackingError("MLflow is away")
        if len(calls) == 2:
            raise RuntimeError("anything")
        done.set()

    Repeating("test", work, every_s=0.0).start()
    assert done.wait(60)


def test_a_call_that_does_not_come_back_is_seen() -> None:
    begun, release = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        release.wait(60)

    repeating = Repeating("test", work, every_s=60.0)
    assert repeating.busy_s() == 0.0
    repeating.start()
    assert begun.wait(60)
    assert 0.0 < repeating.busy_s() <= repeating.busy_s()
    release.set()
