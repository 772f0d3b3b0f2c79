"""Every open alert gets one report, whatever fails or is killed meanwhile."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlops_ray.errors import ClusterError, MlopsRayError
from mlops_ray.reports import ReportDesk, ReportResult
from mlops_ray.spec import Workspace
from mlops_ray.store import AlertRecord, Event, ModelRecord
from tests.monitor.samples import Watch, toy_spec
from tests.reports.samples import Scripted

GOOD = ReportResult("file:///lake/reports/toy/a/report.html", {"drifted": ["b"]}, logged=True)
UNLOGGED = replace(GOOD, logged=False, problem="MLflow is away")


class Office:
    """A store with an open alert, and desks that look at it."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.store = watch.store
        self.now_s = watch.now_s

    def desk(self, *outcomes: ReportResult | MlopsRayError | None) -> tuple[ReportDesk, Scripted]:
        tasks = Scripted(list(outcomes))
        return ReportDesk(self.watch.workspace, self.store, clock=lambda: self.now_s, tasks=tasks), tasks

    def put(self, id: str = "a", **changes: Any) -> None:
        values: dict[str, Any] = {
            "id": id,
            "model": "toy",
            "version": 1,
            "kind": "drift",
            "severity": "warning",
            "message": "b drifted",
            "features": ("b",),
            "evidence": {"rows": 1000},
            "state": "open",
            "at_s": self.now_s,
            "updated_s": self.now_s,
        }
        with self.store.change(Event("alert.raised", id, {}, "test", self.now_s)) as change:
            change.put_alert(AlertRecord(**values | changes))

    def later(self, desk: ReportDesk, seconds: float = 10.0) -> None:
        self.now_s += seconds
        desk.tick()

    def evidence(self, id: str = "a") -> dict[str, Any]:
        return dict(self.store.alert(id).evidence)

    def events(self) -> list[str]:
        return [event.kind for event in self.store.events(subject="a") if event.kind != "alert.raised"]


@pytest.fixture
def office(workspace: Workspace, tmp_path: Path) -> Iterator[Office]:
    watch = Watch(workspace, tmp_path)
    yield Office(watch)
    watch.monitor.close()
    watch.store.close()


def test_an_alert_gets_one_report_whose_place_becomes_its_evidence(office: Office) -> None:
    office.put()
    desk, tasks = office.desk(None, GOOD)
    for _ in range(6):
        office.later(desk)
    assert [order.name for order in tasks.orders] == ["a"]
    assert tasks.orders[0].occasion is not None
    assert office.evidence() == {"rows": 1000, "report": GOOD.uri, "report_logged": True, "report_drifted": ["b"]}
    assert office.events() == ["alert.reported"]
    assert office.store.verify().verified


def test_the_last_records_of_the_moment_are_waited_for(office: Office) -> None:
    office.put()
    desk, tasks = office.desk(GOOD)
    desk.tick()
    assert tasks.orders == []
    office.later(desk)
    assert len(tasks.orders) == 1


def test_a_desk_that_was_killed_is_made_up_for_by_the_next_one(office: Office) -> None:
    office.put()
    first, _ = office.desk()
    office.later(first)
    second, tasks = office.desk(GOOD)
    office.later(second)
    office.later(second)
    assert len(tasks.orders) == 1
    assert office.evidence()["report"] == GOOD.uri


def test_reports_are_made_one_at_a_time(office: Office) -> None:
    office.put("a")
    office.put("b", kind="data_quality")
    desk, tasks = office.desk(None, None, GOOD, GOOD)
    office.later(desk)
    office.later(desk)
    assert [order.name for order in tasks.orders] == ["a"]
    for _ in range(3):
        office.later(desk)
    assert [order.name for order in tasks.orders] == ["a", "b"]


@pytest.mark.parametrize(
    ("alert", "spec"),
    [
        ({"state": "resolved"}, {}),
        ({"kind": "operational"}, {}),
        ({"version": None}, {}),
        ({}, {"monitor": {"reports": {"on_alert": False}}}),
        ({}, {"monitor": {"reports": {"kinds": ["decay"]}}}),
    ],
    ids=str,
)
def test_no_report_where_none_is_wanted(office: Office, alert: dict[str, Any], spec: dict[str, Any]) -> None:
    with office.store.change(Event("model.registered", "toy", {}, "test", 0.0)) as change:
        change.put_model(ModelRecord("toy", toy_spec(**spec).model_dump_json(), 0.0))
    office.put(**alert)
    desk, tasks = office.desk()
    office.later(desk)
    assert tasks.orders == []


def test_after_as_many_failures_as_the_spec_allows_it_is_left_and_says_why(office: Office) -> None:
    office.put()
    desk, tasks = office.desk(*[ClusterError("no memory")] * 3)
    for _ in range(40):
        office.later(desk)
    assert len(tasks.orders) == 3
    assert office.evidence() == {"rows": 1000, "report_problem": "no memory"}
    assert office.events() == ["alert.report_failed"]
    again, tasks = office.desk()
    office.later(again)
    assert tasks.orders == [], "a desk that is new knows it from the store"


def test_between_two_tries_it_waits_and_other_alerts_have_their_turn(office: Office) -> None:
    office.put("a")
    desk, tasks = office.desk(ClusterError("no memory"), GOOD, GOOD)
    office.later(desk)
    office.put("b", at_s=office.now_s - 60)
    office.later(desk, 1)
    assert [order.name for order in tasks.orders] == ["a", "b"]
    office.later(desk, 1)
    assert [order.name for order in tasks.orders] == ["a", "b"]
    office.later(desk, 20)
    assert [order.name for order in tasks.orders] == ["a", "b", "a"]


def test_with_mlflow_away_the_report_is_told_at_once_and_mlflow_is_tried_again(office: Office) -> None:
    office.put()
    desk, tasks = office.desk(UNLOGGED, GOOD)
    office.later(desk)
    office.later(desk)
    assert office.evidence()["report"] == GOOD.uri
    assert office.evidence()["report_logged"] is False
    for _ in range(5):
        office.later(desk)
    assert len(tasks.orders) == 2
    assert office.evidence()["report_logged"] is True
    assert office.events() == ["alert.reported", "alert.reported"]


def test_one_that_hangs_is_ended_and_counts_as_a_failure(office: Office) -> None:
    office.put()
    desk, tasks = office.desk(None, None, GOOD)
    office.later(desk)
    office.later(desk)
    office.later(desk, 1000)
    assert tasks.cancelled == [1]
    office.later(desk, 1000)
    office.later(desk)
    assert office.evidence()["report"] == GOOD.uri


def test_what_the_monitor_wrote_meanwhile_stays(office: Office) -> None:
    office.put()
    desk, _ = office.desk(GOOD)
    office.later(desk)
    office.put(evidence={"rows": 2000}, features=("a", "b"))
    office.later(desk)
    assert office.evidence()["rows"] == 2000
    assert office.store.alert("a").features == ("a", "b")
    assert office.evidence()["report"] == GOOD.uri


def test_a_version_that_is_not_there_gives_no_report_and_says_so(office: Office) -> None:
    office.put(version=7)
    desk, tasks = office.desk()
    office.later(desk)
    assert tasks.orders == []
    assert "has no version 7" in office.evidence()["report_problem"]
