"""What replicas count, from the request to the report."""

from typing import Any

import numpy as np
import pytest

from mlops_ray.serve import Versions
from mlops_ray.serve.captured import Captured
from mlops_ray.serve.loaded import LoadedModel
from mlops_ray.serve.recorder import Recorder
from mlops_ray.serve.traffic_log import TrafficLog
from mlops_ray.serve.traffic_reporter import TrafficReporter
from mlops_ray.spec import Capture
from mlops_ray.telemetry import Tally, TrafficReport
from tests.serve.asgi_client import call, post
from tests.serve.house import BASE, House, good, open_house, raises, with_canary
from tests.serve.samples import MODEL, Register, lightgbm_model, record, route, run
from tests.serve.test_recorder import served

DURATION, QUEUE, PREDICT = (f"mlops_ray_request_{name}_seconds" for name in ("duration", "queue", "predict"))


@pytest.fixture
def champion(versions: Versions, register: Register) -> LoadedModel:
    return versions.load(register(lightgbm_model(5)))


def counts(tally: Tally) -> dict[str, dict[tuple[str, ...], float]]:
    """By metric, then labels."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for (name, *labels), amount in tally.counts.items():
        found.setdefault(name.removeprefix("mlops_ray_"), {})[tuple(labels)] = amount
    return found


def test_requests_are_counted_by_who_answered_and_errors_by_who_should_have(champion: LoadedModel) -> None:
    log = TrafficLog(slow_ms=100.0)
    one = [[1.0, 1.0, 1.0, 0.0]]
    log.let_go(
        [
            served(champion, "a", one, queue_ms=1.0, predict_ms=2.0, time_s=5.0),
            served(champion, "b", one * 3, queue_ms=60.0, predict_ms=60.0, time_s=9.0),  # late
            served(champion, "c", one, role="canary", assigned="canary", version=2, canary=2),
            served(champion, "d", one, assigned="canary", canary=2, error="raised"),  # the champion answered
            served(champion, "e", one, status=500, error="raised"),
            served(champion, "f", one, role="shadow", assigned="shadow", version=2, canary=2, time_s=99.0),
            served(champion, "g", one, role="champion", assigned="direct"),
        ]
    )
    tally, newest_s = log.counted(log.take())
    found = counts(tally)
    assert found["requests_total"] == {
        ("1", "champion", "200"): 3,
        ("1", "champion", "500"): 1,
        ("2", "canary", "200"): 1,
        ("2", "shadow", "200"): 1,
        ("1", "direct", "200"): 1,
    }
    assert found["asked_total"] == {
        ("1", "champion"): 3,
        ("2", "canary"): 2,
        ("2", "shadow"): 1,
        ("1", "direct"): 1,
    }
    none = {("2", "shadow"): 0, ("1", "direct"): 0}
    assert found["errors_total"] == {("2", "canary"): 1, ("1", "champion"): 1, **none}
    assert found["fallbacks_total"] == {("2",): 1}
    assert found["slow_total"] == {("1", "champion"): 1, ("2", "canary"): 0, **none}
    assert found["rows_total"]["1", "champion"] == 6
    assert newest_s == 1000.0  # of users; the copy is later in nobody's day
    assert tally.histograms[DURATION, "1", "champion"].count == 4
    assert tally.histograms[PREDICT, "1", "champion"].count == 3
    assert (DURATION, "2", "shadow") not in tally.histograms
    assert tally.histograms[QUEUE, "1", "champion"].sum == pytest.approx(0.061)
    assert log.take() == []


@pytest.mark.parametrize("capture", [{"enabled": False}, {}])
def test_requests_of_which_no_record_is_kept_are_counted_all_the_same(
    champion: LoadedModel, capture: dict[str, Any]
) -> None:
    log = TrafficLog(slow_ms=100.0)
    captured = Captured(Capture.model_validate(capture), MODEL)
    recorder = Recorder("r", captured=captured, traffic=log, capacity_rows=2)
    for name in "abcde":
        recorder.add(served(champion, name, [[1.0, 1.0, 1.0, 0.0]]))
    recorder.take()
    tally, _ = log.counted(log.take())
    assert counts(tally)["requests_total"] == {("1", "champion", "200"): 5}
    assert counts(tally)["rows_total"] == {("1", "champion"): 5}


class Desk:
    """Takes reports, and fails as often as it is told."""

    def __init__(self) -> None:
        self.came: list[TrafficReport] = []
        self.failures = 0

    async def tell(self, report: TrafficReport) -> None:
        self.came.append(report)
        if self.failures:
            self.failures -= 1
            raise ConnectionError("the drift actor is away")


def reporter(house: House, desk: Desk, log: TrafficLog) -> TrafficReporter:
    return TrafficReporter("r1", house.door, house.outbox.recorder, log, tell=desk.tell, role="champion", every_s=60)


def watched(versions: Versions, register: Register, remote: Any = good) -> tuple[House, TrafficLog]:
    register(lightgbm_model(5))
    register(lightgbm_model(6))
    house = open_house(versions, route(1, 1), remote)
    log = TrafficLog(slow_ms=10_000.0)
    house.outbox.recorder = Recorder("r1", traffic=log)
    return house, log


def test_a_report_has_everything_the_door_answered(versions: Versions, register: Register) -> None:
    house, log = watched(versions, register, raises)

    async def ask() -> None:
        desk = Desk()
        told = reporter(house, desk, log)
        await with_canary(house, 1.0)
        await house.predict(record(), record())
        await post(house.door, f"{BASE}/predict", b"no json")
        await call(house.door, "GET", f"{BASE}/predict")
        await call(house.door, "GET", f"{BASE}/nothing")
        house.records()
        await told.report()
        (report,) = desk.came
        found = counts(report.tally)
        assert found["requests_total"] == {("1", "champion", "200"): 1}
        assert found["errors_total"] == {("2", "canary"): 1}
        assert found["http_responses_total"] == {("200",): 1, ("400",): 1, ("405",): 1, ("404",): 1}
        assert found["rejected_total"] == {("malformed",): 1, ("not_found",): 1}
        assert report.tally.histograms["mlops_ray_batch_rows", "1"].sum == 2
        assert (report.version, report.role, report.number) == (1, "champion", 1)
        assert report.gauges == {"in_flight": 0, "in_flight_limit": 64, "queued_rows": 0, "records_waiting": 0}
        await told.report()
        assert not desk.came[1].tally  # a sign of life

    run(ask())


def test_a_report_that_did_not_arrive_comes_again_and_nothing_counts_twice(
    versions: Versions, register: Register
) -> None:
    house, log = watched(versions, register)

    async def ask() -> None:
        desk = Desk()
        told = reporter(house, desk, log)
        desk.failures = 2
        for _ in range(2):
            await house.predict()
            house.records()
            with pytest.raises(ConnectionError):
                await told.report()
        await told.close()
        assert [report.number for report in desk.came] == [1, 1, 1, 2]
        by_number = {report.number: report.tally for report in desk.came}
        total = Tally()
        for tally in by_number.values():
            total.merge(tally)
        assert counts(total)["requests_total"] == {("1", "champion", "200"): 2}

    run(ask())


def test_counting_holds_on_to_no_rows(champion: LoadedModel) -> None:
    log = TrafficLog(slow_ms=100.0)
    recorder = Recorder("r", captured=Captured(Capture(enabled=False), MODEL), traffic=log)
    large = np.zeros((1000, 4))
    recorder.add(served(champion, "a", large.tolist()))
    ((kept,),) = log.take()
    assert kept.nbytes < 1000
    assert len(kept.scores) == 1000
