import socket
import threading
import time
from pathlib import Path

import pytest

from mlops_ray.errors import TrackingError
from mlops_ray.tracking import Tracking, patiently


def refusing(port: int, tmp_path: Path) -> Tracking:
    """An MLflow that is away."""
    return Tracking(f"http://127.0.0.1:{port}", artifacts=tmp_path.as_uri())


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_an_action_is_tried_again_until_it_is_done(closed_port: int, tmp_path: Path) -> None:
    tries: list[float] = []

    def third_time_lucky() -> str:
        tries.append(time.monotonic())
        if len(tries) < 3:
            raise TrackingError("away")
        return "done"

    assert patiently(refusing(closed_port, tmp_path), 30, third_time_lucky) == "done"
    assert len(tries) == 3


def test_patience_ends(closed_port: int, tmp_path: Path) -> None:
    tracking = refusing(closed_port, tmp_path)
    with pytest.raises(TrackingError, match="no answer"):
        patiently(tracking, 0, tracking.check_alive)


def test_what_fails_though_mlflow_is_there_is_tried_three_times(tracking: Tracking) -> None:
    tries: list[int] = []

    def fail() -> None:
        tries.append(threading.get_ident())
        raise TrackingError("disk full")

    with pytest.raises(TrackingError, match="disk full"):
        patiently(tracking, 60, fail)
    assert len(tries) == 3


def test_what_mlflow_refuses_is_not_tried_again(tracking: Tracking) -> None:
    tries: list[int] = []

    def ask() -> None:
        tries.append(1)
        tracking.describe("nothing", 99)

    with pytest.raises(TrackingError, match="read version 99"):
        patiently(tracking, 60, ask)
    assert tries == [1]
