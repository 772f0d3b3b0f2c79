"""What is sent next: invariants over any set of deliveries."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mlops_ray.monitor.alert_plan import TELLING, is_waiting, plan, silenced
from mlops_ray.store import DeliveryRecord, SilenceRecord

ROUTES = {"groups": True, "single": False}
NOW_S = 1000.0


def delivery(**changes: Any) -> DeliveryRecord:
    values: dict[str, Any] = {
        "id": "x",
        "alert": "a",
        "number": 1,
        "model": "toy",
        "key": "k",
        "route": "groups",
        "event": "raised",
        "severity": "warning",
        "content": {"kind": "drift", "features": ["f"]},
        "state": "pending",
        "hold": "",
        "message": "",
        "attempts": 0,
        "first_attempt_s": None,
        "due_s": NOW_S,
        "next_s": NOW_S,
        "owner": "",
        "lease_until_s": 0.0,
        "reason": "",
        "created_s": 1.0,
        "updated_s": 1.0,
    }
    return DeliveryRecord(**values | changes)


@st.composite
def pending(draw: st.DrawFn) -> list[DeliveryRecord]:
    """Deliveries of a few alerts on three routes, one of which nobody knows."""
    rows = []
    for alert in "abc":
        for route in ("groups", "single", "unknown"):
            for number in range(1, draw(st.integers(0, 3)) + 1):
                tried = draw(st.booleans())
                event = "resolved" if number == 3 else draw(st.sampled_from(TELLING))
                hold = "" if tried else draw(st.sampled_from(["", "cooldown"]))
                rows.append(
                    delivery(
                        id=f"{alert}/{number}/{route}",
                        alert=alert,
                        number=number,
                        route=route,
                        event=event,
                        hold=hold,
                        message=f"{alert}{number}" if tried else "",
                        attempts=int(tried),
                        next_s=draw(st.sampled_from([NOW_S - 1, NOW_S, NOW_S + 1])),
                        lease_until_s=draw(st.sampled_from([0.0, 0.0, 0.0, NOW_S + 1])) if tried else 0.0,
                        created_s=float(number),
                    )
                )
    return sorted(rows, key=lambda d: (d.created_s, d.number, d.id))


def silence(**changes: Any) -> SilenceRecord:
    values: dict[str, Any] = {"id": "s", "model": None, "kind": None, "feature": None, "reason": "r", "author": "ada"}
    return SilenceRecord(**values | {"from_s": 0.0, "until_s": 5000.0} | changes)


@given(pending(), st.booleans(), st.booleans(), st.sets(st.sampled_from(sorted(ROUTES))))
def test_nothing_is_sent_twice_out_of_order_too_early_or_under_somebody_elses_lease(
    rows: list[DeliveryRecord], quiet: bool, hurry: bool, busy: set[str]
) -> None:
    silences = [silence()] if quiet else []
    found = plan(rows, groups=ROUTES, busy=busy, silences=silences, open_alerts={"a"}, now_s=NOW_S, hurry=hurry)
    written = {d.id for d in found.write}
    for route, chosen in found.send.items():
        ids = [d.id for d in chosen]
        assert route in ROUTES
        assert route not in busy
        assert len(ids) == len(set(ids)) > 0
        assert not set(ids) & written
        assert len(chosen) == 1 or ROUTES[route] or chosen[0].message
        assert len({d.message for d in chosen}) == 1
        assert any(d.next_s <= NOW_S for d in chosen) or hurry
        for row in chosen:
            assert row.lease_until_s <= NOW_S
            assert not (row.hold and row.next_s > NOW_S)
            assert not (quiet and is_waiting(row) and row.event in TELLING)
            before = {d.id for d in rows if (d.alert, d.route) == (row.alert, route) and d.number < row.number}
            assert before <= set(ids) | {d.id for d in found.write if d.state == "dropped"}


@given(pending())
def test_every_row_is_sent_in_the_end(rows: list[DeliveryRecord]) -> None:
    left = [d for d in rows if d.route in ROUTES]
    now_s = NOW_S + 10
    for _ in range(len(left) + 1):
        found = plan(left, groups=ROUTES, busy=(), silences=(), open_alerts=set(), now_s=now_s)
        gone = {d.id for chosen in found.send.values() for d in chosen}
        left = [d for d in left if d.id not in gone]
    assert left == []


def test_the_silence_that_lasts_longest_counts() -> None:
    short, long = silence(id="short", until_s=2000.0), silence(id="long", model="toy", until_s=3000.0)
    assert silenced("toy", "drift", ["f"], [short, long]) is long
    assert silenced("other", "drift", ["f"], [short, long]) is short
    assert silenced("other", "drift", [], [long]) is None


def test_an_alert_about_no_feature_is_not_silenced_by_one_of_a_feature() -> None:
    assert silenced("toy", "decay", [], [silence(feature="f")]) is None
    assert silenced("toy", "decay", [], [silence(kind="decay")]) is not None
    assert silenced("toy", "drift", [], [silence(kind="decay")]) is None


def test_a_repetition_ends_with_its_alert() -> None:
    row = delivery(event="repeated", number=0)
    (dropped,) = plan([row], groups=ROUTES, busy=(), silences=(), open_alerts=set(), now_s=NOW_S).write
    assert dropped.state == "dropped"
    assert plan([row], groups=ROUTES, busy=(), silences=[silence()], open_alerts={"a"}, now_s=NOW_S).send
