"""What a store promises, on each database."""

import pickle
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import pytest

from mlops_ray.errors import ConflictError, NotFoundError, StoreError
from mlops_ray.store import Change, ModelRecord, Stage, Store
from tests.store.samples import alert, approval, event, model_version, rollout, route, trigger


def write(store: Store, *writes: Callable[[Change], object]) -> None:
    """One change with one event."""
    with store.change(event()) as change:
        for apply in writes:
            apply(change)


def test_a_new_store_is_empty_and_verifies(store: Store) -> None:
    assert (store.models(), store.rollouts(), store.triggers(), store.alerts(), store.events()) == ([], [], [], [], [])
    assert store.model("churn") is None
    assert store.champion("churn") is None
    assert store.route("churn") is None
    assert store.verify().verified


def test_creating_twice_keeps_what_is_there(store: Store) -> None:
    write(store, lambda c: c.put_model(ModelRecord("churn", "{}", 1.0)))
    store.create()
    assert [m.name for m in store.models()] == ["churn"]
    assert store.verify().events == 1


def test_a_store_survives_pickling_after_use(store: Store) -> None:
    write(store, lambda c: c.put_model(ModelRecord("churn", "{}", 1.0)))
    copy = pickle.loads(pickle.dumps(store))
    assert copy.models() == store.models()
    copy.close()


def test_a_store_can_be_used_after_closing(store: Store) -> None:
    store.close()
    assert store.models() == []


def test_records_come_back_as_they_were_written(store: Store) -> None:
    version, delivery, said = model_version(), rollout(), approval()
    cause, told, way = trigger(), alert(), route()
    write(
        store,
        lambda c: c.put_model_version(version),
        lambda c: c.put_rollout(delivery, None),
        lambda c: c.put_approval(said),
        lambda c: c.insert_trigger(cause),
        lambda c: c.insert_alert(told),
        lambda c: c.put_route(way),
    )
    assert store.model_version("churn", 1) == version
    assert store.rollout("churn-2-1") == delivery
    assert store.approvals("churn", 2) == [said]
    assert store.trigger("drift-churn-1") == cause
    assert store.alert("alert-1") == told
    assert store.route("churn") == way


def test_a_model_is_replaced_by_its_newest_spec(store: Store) -> None:
    write(store, lambda c: c.put_model(ModelRecord("churn", "{}", 1.0)))
    write(store, lambda c: c.put_model(ModelRecord("churn", '{"a": 1}', 2.0)))
    assert store.model("churn") == ModelRecord("churn", '{"a": 1}', 2.0)


def test_a_version_is_never_replaced(store: Store) -> None:
    write(store, lambda c: c.put_model_version(model_version()))
    with pytest.raises(ConflictError, match="version 1 of model 'churn' exists"):
        write(store, lambda c: c.put_model_version(model_version(digest="other")))
    assert store.model_version("churn", 1).digest == "ab" * 32


def test_an_unknown_version_lists_those_that_exist(store: Store) -> None:
    write(store, *(lambda c, v=v: c.put_model_version(model_version(version=v)) for v in range(1, 13)))
    with pytest.raises(NotFoundError, match=r"no version 40; there is \.\.\., 3, 4, 5, 6, 7, 8, 9, 10, 11, 12$"):
        store.model_version("churn", 40)


def test_an_unknown_model_lists_those_that_exist(store: Store) -> None:
    with pytest.raises(NotFoundError, match="no model 'churm'; there is none yet"):
        store.model_version("churm", 1)
    write(store, lambda c: c.put_model(ModelRecord("churn", "{}", 1.0)))
    with pytest.raises(NotFoundError, match="no model 'churm'; there is churn"):
        store.model_version("churm", 1)
    with pytest.raises(NotFoundError, match="'churn' has no version 1; none was trained yet"):
        store.model_version("churn", 1)


@pytest.mark.parametrize("noun", ["rollout", "trigger", "alert"])
def test_an_unknown_id_is_named(store: Store, noun: str) -> None:
    with pytest.raises(NotFoundError, match=f"expected the id of a {noun}, found 'nope'"):
        getattr(store, noun)("nope")


def test_versions_are_listed_by_number(store: Store) -> None:
    write(store, *(lambda c, v=v: c.put_model_version(model_version(version=v)) for v in (10, 9, 2)))
    assert [v.version for v in store.model_versions("churn")] == [2, 9, 10]


def test_a_new_champion_retires_the_former_one_of_the_same_model(store: Store) -> None:
    write(
        store,
        *(lambda c, v=v: c.put_model_version(model_version(version=v)) for v in (1, 2, 3)),
        lambda c: c.put_model_version(model_version(model="other", stage=Stage.CHAMPION)),
        lambda c: c.set_stage("churn", 3, Stage.REJECTED),
        lambda c: c.set_stage("churn", 1, Stage.CHAMPION),
        lambda c: c.set_stage("churn", 2, Stage.CHAMPION),
    )
    champion, other = store.champion("churn"), store.champion("other")
    assert champion is not None
    assert champion.version == 2
    assert other is not None
    assert [v.stage for v in store.model_versions("churn")] == [Stage.RETIRED, Stage.CHAMPION, Stage.REJECTED]


def test_a_version_inserted_as_champion_retires_the_former_one(store: Store) -> None:
    write(store, *(lambda c, v=v: c.put_model_version(model_version(version=v, stage=Stage.CHAMPION)) for v in (1, 2)))
    assert [v.stage for v in store.model_versions("churn")] == [Stage.RETIRED, Stage.CHAMPION]


def test_a_stage_needs_a_version(store: Store) -> None:
    with pytest.raises(NotFoundError):
        write(store, lambda c: c.set_stage("churn", 1, Stage.CHAMPION))


def test_a_rollout_moves_from_revision_to_revision(store: Store) -> None:
    write(store, lambda c: c.put_rollout(rollout(revision=0), None))
    write(store, lambda c: c.put_rollout(rollout(phase="PROMOTING"), 0))
    found = store.rollout("churn-2-1")
    assert (found.phase, found.revision) == ("PROMOTING", 1)


def test_a_stale_revision_is_a_conflict_that_names_both(store: Store) -> None:
    write(store, lambda c: c.put_rollout(rollout(), None))
    write(store, lambda c: c.put_rollout(rollout(phase="PAUSED"), 1))
    with pytest.raises(ConflictError, match=r"was at revision 1 and is now at 2 \(PAUSED\)"):
        write(store, lambda c: c.put_rollout(rollout(phase="PROMOTING"), 1))
    assert store.rollout("churn-2-1").phase == "PAUSED"


def test_replacing_a_rollout_that_is_not_there_is_not_found(store: Store) -> None:
    with pytest.raises(NotFoundError):
        write(store, lambda c: c.put_rollout(rollout(), 1))


def test_a_model_has_one_active_rollout(store: Store) -> None:
    write(store, lambda c: c.put_rollout(rollout(), None))
    with pytest.raises(ConflictError, match="rollout 'churn-2-1' of version 2 is in phase CANARY"):
        write(store, lambda c: c.put_rollout(rollout(id="churn-3-1", version=3), None))
    write(store, lambda c: c.put_rollout(rollout(id="other-1-1", model="other"), None))
    write(store, lambda c: c.put_rollout(rollout(phase="ROLLED_BACK"), 1))
    write(store, lambda c: c.put_rollout(rollout(id="churn-3-1", version=3, created_s=11.0), None))
    assert [r.id for r in store.rollouts("churn")] == ["churn-2-1", "churn-3-1"]
    assert [r.id for r in store.rollouts("churn", active_only=True)] == ["churn-3-1"]


def test_a_rollout_is_inserted_once(store: Store) -> None:
    write(store, lambda c: c.put_rollout(rollout(phase="COMPLETED"), None))
    with pytest.raises(ConflictError, match="exists already"):
        write(store, lambda c: c.put_rollout(rollout(), None))


def test_the_later_word_of_a_person_counts(store: Store) -> None:
    write(store, lambda c: c.put_approval(approval()), lambda c: c.put_approval(approval(approver="bob", at_s=6.0)))
    write(store, lambda c: c.put_approval(approval(approved=False, at_s=7.0)))
    assert [(a.approver, a.approved) for a in store.approvals("churn", 2)] == [("bob", True), ("ada", False)]


@pytest.mark.parametrize("insert", [lambda c: c.insert_trigger(trigger()), lambda c: c.insert_alert(alert())])
def test_the_same_trigger_or_alert_is_inserted_once(store: Store, insert: Callable[[Change], bool]) -> None:
    with store.change(event()) as change:
        assert (insert(change), insert(change)) == (True, False)


def test_inserting_an_id_again_leaves_the_first_as_it_is(store: Store) -> None:
    write(store, lambda c: c.insert_trigger(trigger()))
    write(store, lambda c: c.insert_trigger(trigger(reason="second")))
    assert store.trigger("drift-churn-1") == trigger()


def test_triggers_and_alerts_are_found_by_model_and_state(store: Store) -> None:
    write(
        store,
        lambda c: c.put_trigger(trigger()),
        lambda c: c.put_trigger(trigger(id="b", state="submitted", submission_id="job", created_s=19.0)),
        lambda c: c.put_alert(alert()),
        lambda c: c.put_alert(alert(id="b", model="other", state="resolved")),
    )
    assert [t.id for t in store.triggers("churn")] == ["b", "drift-churn-1"]
    assert [t.id for t in store.triggers(state="submitted")] == ["b"]
    assert [a.id for a in store.alerts("churn", "open")] == ["alert-1"]
    assert store.alerts("churn", "resolved") == []


def test_an_alert_is_resolved_by_putting_it_again(store: Store) -> None:
    write(store, lambda c: c.insert_alert(alert()))
    write(store, lambda c: c.put_alert(alert(state="resolved")))
    assert store.alerts() == [alert(state="resolved")]


@pytest.mark.parametrize("epoch", [0, 1, 3])
def test_a_route_moves_by_one_epoch(store: Store, epoch: int) -> None:
    write(store, lambda c: c.put_route(route()))
    with pytest.raises(ConflictError, match=f"expects epoch 2 next, found {epoch}"):
        write(store, lambda c: c.put_route(route(epoch=epoch)))
    write(store, lambda c: c.put_route(route(epoch=2, canary=2, share=0.05)))
    assert store.route("churn") == route(epoch=2, canary=2, share=0.05)


def test_a_change_reads_its_own_writes_and_nobody_else_does(store: Store) -> None:
    with store.change(event()) as change:
        change.put_model_version(model_version())
        assert change.model_version("churn", 1).version == 1
        assert store.model_versions("churn") == []


def test_an_exception_writes_nothing(store: Store) -> None:
    def fail(change: Change) -> None:
        change.put_model(ModelRecord("churn", "{}", 1.0))
        raise KeyError("on purpose")

    with pytest.raises(KeyError, match="on purpose"):
        write(store, fail)
    assert store.models() == []
    assert store.verify().events == 0


def test_a_skipped_change_writes_nothing(store: Store) -> None:
    write(store, lambda c: c.put_model(ModelRecord("churn", "{}", 1.0)), lambda c: c.skip())
    assert store.models() == []
    assert store.events() == []


def test_a_change_writes_exactly_one_event(store: Store) -> None:
    write(store, lambda c: c.put_model(ModelRecord("churn", "{}", 1.0)), lambda c: c.put_route(route()))
    (found,) = store.events()
    assert (found.seq, found.kind, found.subject, found.actor, found.at_s) == (
        1,
        "test.happened",
        "churn",
        "tester",
        1.5,
    )
    assert found.payload == {"n": 1}


def test_events_are_found_by_subject_kind_and_count(store: Store) -> None:
    for n, (subject, kind) in enumerate([("a", "x"), ("b", "x"), ("a", "y"), ("a", "x")]):
        with store.change(event(subject=subject, kind=kind, payload={"n": n})):
            pass
    assert [e.payload["n"] for e in store.events()] == [0, 1, 2, 3]
    assert [e.payload["n"] for e in store.events(subject="a")] == [0, 2, 3]
    assert [e.payload["n"] for e in store.events(subject="a", kind="x")] == [0, 3]
    assert [e.payload["n"] for e in store.events(limit=2)] == [2, 3]


@pytest.mark.parametrize("payload", [{"x": float("nan")}, {"x": float("inf")}, {"x": object()}, {"x": b"bytes"}])
def test_what_is_no_json_is_refused_and_writes_nothing(store: Store, payload: Mapping[str, Any]) -> None:
    with pytest.raises(StoreError, match="expected a JSON value"), store.change(event(payload=payload)) as change:
        change.put_model(ModelRecord("churn", "{}", 1.0))
    with pytest.raises(StoreError, match="expected a JSON value"):
        write(store, lambda c: c.put_model_version(model_version(gates=payload)))
    assert store.models() == []
    assert store.verify().events == 0


def test_read_only_mappings_can_be_written(store: Store) -> None:
    write(store, lambda c: c.put_model_version(model_version(metrics=MappingProxyType({"auc": 0.5}))))
    assert store.model_version("churn", 1).metrics == {"auc": 0.5}


def test_text_from_anywhere_survives(store: Store) -> None:
    reason = "'; DROP TABLE models; -- \n 零 🚀 \\u0000"
    write(store, lambda c: c.put_approval(approval(reason=reason)))
    assert store.approvals("churn", 2)[0].reason == reason


def test_a_number_no_database_can_hold_is_a_store_error_or_not_found(store: Store) -> None:
    with pytest.raises(StoreError):
        store.model_version("churn", 10**30)
