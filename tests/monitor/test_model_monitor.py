from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlops_ray.monitor import Cursor
from mlops_ray.records import served_schema
from mlops_ray.spec import Workspace
from tests.monitor.samples import FEATURES, Watch, catch_up, labels, on, rows_of, served, toy_spec

DECAY = {
    "window": {"size_s": 200, "every_s": 10, "min_rows": 200},
    "labels": {"decay": {"metric": "log_loss", "max_drop": 0.2, "min_labels": 40}},
}


@pytest.fixture
def watch(workspace: Workspace, tmp_path: Path) -> Iterator[Watch]:
    """Model "toy" with champion 1, watched."""
    watch = Watch(workspace, tmp_path)
    yield watch
    watch.monitor.close()
    watch.store.close()


# -- drift -------------------------------------------------------------------------------------------------------------


def test_traffic_like_the_training_data_raises_nothing(watch: Watch) -> None:
    watch.go_on(600)
    assert watch.open_alerts() == []
    report = watch.monitor.status()["report"]
    assert report["verdict"] == "PASS"
    assert 1000 <= report["rows"] <= 1050, "200 s at 5 rows a second, to the precision of a pane"


def test_drifted_traffic_raises_one_alert_with_the_drifted_features(watch: Watch) -> None:
    watch.go_on(600, shift_b=1.0)
    assert watch.open_alerts() == [("drift", 1, ["b"])]
    (alert,) = watch.store.alerts("toy")
    assert "1 of 2 features of toy v1 drifted: b (KS 0." in alert.message
    assert watch.told() == [alert.id]
    assert watch.monitor.status()["alerted_features"] == ["b"]


def test_one_drifted_window_alone_raises_nothing(watch: Watch) -> None:
    watch.go_on(10, rows=200, shift_b=1.0)
    assert watch.monitor.status()["report"]["verdict"] == "FAIL"
    watch.go_on(200, rows=1000)
    assert watch.store.alerts("toy") == []


def test_a_feature_that_joins_later_is_the_same_episode(watch: Watch) -> None:
    watch.go_on(300, shift_b=1.0)
    watch.go_on(300, shift_a=1.0, shift_b=1.0)
    assert watch.open_alerts() == [("drift", 1, ["a", "b"])]
    (alert,) = watch.store.alerts("toy")
    assert set(watch.told()) == {alert.id}


def test_an_alert_is_resolved_when_the_drift_has_passed(watch: Watch) -> None:
    watch.go_on(300, shift_b=1.0)
    watch.go_on(400)
    (alert,) = watch.store.alerts("toy")
    assert alert.state == "resolved"


def test_too_little_traffic_neither_raises_nor_resolves(watch: Watch) -> None:
    watch.go_on(300, shift_b=1.0)
    watch.go_on(400, rows=1)
    assert watch.open_alerts() == [("drift", 1, ["b"])]
    assert watch.monitor.status()["report"]["verdict"] == "INCONCLUSIVE"


def test_a_promotion_resolves_the_alerts_of_the_version_before(watch: Watch) -> None:
    watch.go_on(300, shift_b=1.0)
    watch.put_champion(2)
    watch.go_on(100, version=2)
    assert watch.open_alerts() == []
    assert watch.monitor.status()["version"] == 2


def test_what_other_versions_served_is_no_part_of_the_window(watch: Watch) -> None:
    watch.go_on(300)
    watch.go_on(300, version=2, shift_b=3.0)
    assert watch.open_alerts() == []


def test_only_the_features_that_are_watched_raise_alerts(watch: Watch) -> None:
    watch.spec = toy_spec(monitor={"window": {"size_s": 200, "every_s": 10, "min_rows": 200}, "features": ["a"]})
    watch.monitor = watch.new_monitor()
    watch.go_on(300, shift_b=1.0)
    assert watch.open_alerts() == []


def test_an_open_alert_ends_when_its_features_are_watched_no_more(watch: Watch) -> None:
    watch.go_on(300, shift_b=1.0)
    watch.spec = toy_spec(monitor={"window": {"size_s": 200, "every_s": 10, "min_rows": 200}, "features": ["a"]})
    watch.monitor = watch.new_monitor()
    watch.go_on(20, shift_b=1.0)
    assert watch.open_alerts() == []


# -- broken columns and answers ----------------------------------------------------------------------------------------


def send(watch: Watch, seconds: int, change: Callable[[Any], None]) -> None:
    """Traffic to whose rows (50, 3) `change` was done."""
    for step in range(seconds // 10):
        watch.now_s += 10.0
        matrix = rows_of(50, seed=1000 + step)
        change(matrix)
        watch.monitor.receive(watch.handover(matrix))
        watch.monitor.follow(watch.now_s)
        watch.monitor.judge(watch.now_s)


def put(column: int, value: Any) -> Callable[[Any], None]:
    def change(matrix: Any) -> None:
        matrix[:, column] = value(matrix[:, column]) if callable(value) else value

    return change


@pytest.fixture
def strict(workspace: Workspace, tmp_path: Path) -> Iterator[Watch]:
    """The same, whose quality is judged from 40 rows on."""
    window = {"size_s": 200, "every_s": 10, "min_rows": 200}
    watch = Watch(workspace, tmp_path, spec=toy_spec(monitor={"window": window, "quality": {"min_rows": 40}}))
    watch.go_on(300)
    yield watch
    watch.monitor.close()
    watch.store.close()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (put(1, 0.0), "b: all 50 values are 0; in the reference they vary"),
        (put(1, lambda x: 1000 * x), "b: values are about 1"),
    ],
    ids=["zeros", "units"],
)
def test_a_broken_upstream_batch_raises_data_quality_and_names_the_column_and_is_no_drift(
    strict: Watch, change: Any, said: str
) -> None:
    send(strict, 60, change)
    assert strict.open_alerts() == [("data_quality", 1, ["b"])]
    (alert,) = strict.store.alerts("toy")
    assert said in alert.message
    assert alert.severity == "critical"
    assert alert.evidence["problems"][0]["feature"] == "b"
    (drawn,) = alert.evidence["histograms"]
    assert drawn["feature"] == "b"
    assert strict.monitor.status()["broken_features"] == ["b"]
    strict.go_on(400)
    kinds = [(alert.kind, alert.state) for alert in strict.store.alerts("toy")]
    assert kinds == [("data_quality", "resolved")], "the broken rows that are still in the window are no drift either"


def test_a_broken_column_after_a_restart_is_still_no_drift(strict: Watch) -> None:
    send(strict, 60, put(1, 0.0))
    strict.monitor = strict.new_monitor()
    strict.go_on(400)
    assert [alert.kind for alert in strict.store.alerts("toy")] == ["data_quality"]


def test_another_column_drifts_all_the_same(strict: Watch) -> None:
    def both(matrix: Any) -> None:
        matrix[:, 0] += 1.0
        matrix[:, 1] = 0.0

    send(strict, 200, both)
    assert sorted(strict.open_alerts()) == [("data_quality", 1, ["b"]), ("drift", 1, ["a"])]


def test_answers_that_drift_are_an_alert_of_their_own(watch: Watch) -> None:
    watch.go_on(100)
    send(watch, 200, put(2, lambda scores: scores**3))
    assert watch.open_alerts() == [("prediction_drift", 1, ["prediction"])]
    (alert,) = watch.store.alerts("toy")
    assert alert.message.startswith("answers of toy v1 drifted: prediction (KS 0.")


def test_an_alert_of_drift_brings_pictures_and_the_time_of_its_window(watch: Watch) -> None:
    watch.go_on(300, shift_a=1.0, shift_b=2.0)
    (alert,) = watch.store.alerts("toy")
    evidence = alert.evidence
    assert [drawn["feature"] for drawn in evidence["histograms"]] == ["b", "a"]
    assert evidence["to_s"] - evidence["from_s"] == 200
    assert evidence["features"][0]["mean_shift"] == pytest.approx(2.0, abs=0.3)
    assert alert.severity == "warning"


def test_hours_outlive_a_restart(watch: Watch) -> None:
    watch.now_s = 1_700_000_000.0 // 3600 * 3600
    for _ in range(19):
        watch.monitor.receive(watch.handover(rows_of(2, seed=1)))
        watch.monitor.judge(watch.now_s)
        watch.now_s += 600.0
    watch.monitor = watch.new_monitor()
    champion = watch.monitor._champion
    assert champion is not None
    assert [profile.rows for profile in champion.panes.hours().values()] == [12, 12, 12, 2]


# -- restarts ----------------------------------------------------------------------------------------------------------


def test_a_handover_received_twice_counts_once(watch: Watch) -> None:
    handover = watch.handover(rows_of(300, seed=5))
    watch.monitor.receive(handover)
    watch.monitor.receive(handover)
    watch.go_on(10, rows=0)
    assert watch.monitor.status()["report"]["rows"] == 300


def test_after_a_restart_the_window_is_as_it_was(watch: Watch) -> None:
    watch.go_on(150)
    watch.monitor = watch.new_monitor()
    watch.go_on(10, rows=0)
    assert watch.monitor.status()["report"]["rows"] == 750


def test_a_handover_repeated_after_a_restart_counts_once(watch: Watch) -> None:
    handover = watch.handover(rows_of(300, seed=5))
    watch.monitor.receive(handover)
    watch.monitor = watch.new_monitor()
    watch.monitor.receive(handover)
    watch.go_on(10, rows=0)
    assert watch.monitor.status()["report"]["rows"] == 300


def test_after_a_restart_an_open_alert_is_not_raised_again(watch: Watch) -> None:
    watch.go_on(300, shift_b=1.0)
    for _ in range(3):
        watch.monitor = watch.new_monitor()
        watch.go_on(50, shift_b=1.0)
    assert len(watch.store.alerts("toy")) == 1
    assert len(watch.told()) == 1


def test_after_a_restart_one_clean_window_does_not_resolve_an_alert(watch: Watch) -> None:
    watch.go_on(300, shift_b=1.0)
    watch.now_s += 1000
    watch.monitor = watch.new_monitor()
    watch.go_on(20, rows=300)
    assert watch.open_alerts() == [("drift", 1, ["b"])]
    watch.go_on(10, rows=300)
    assert watch.open_alerts() == []


def test_rows_that_were_not_answered_are_no_part_of_a_recovered_window(watch: Watch) -> None:
    handover = watch.handover(rows_of(300, seed=5))
    failed = {"request_id": "x", "time_s": watch.now_s, "status": 500, "score": None, "error": "no memory"}
    watch.monitor.receive(handover)
    watch.monitor.receive(handover | {"name": "other", "records": served(failed), "version": 7})
    watch.monitor = watch.new_monitor()
    watch.go_on(10, rows=0)
    assert watch.monitor.status()["report"]["rows"] == 300


def test_neither_copies_nor_requests_by_version_are_part_of_a_recovered_window(watch: Watch) -> None:
    watch.monitor.receive(watch.handover(rows_of(300, seed=5)))
    others = [on("shadow"), on("direct"), on("direct", role="champion", version=1), on("canary")]
    watch.monitor.receive(requests(watch, *others))
    watch.monitor = watch.new_monitor()
    watch.go_on(10, rows=0)
    assert watch.monitor.status()["report"]["rows"] == 300


def test_a_window_whose_features_were_not_kept_begins_empty_after_a_restart(watch: Watch) -> None:
    handover = watch.handover(rows_of(300, seed=5))
    schema = served_schema(FEATURES, ["b"])
    watch.monitor.receive(handover | {"records": handover["records"].cast(schema)})
    watch.go_on(10, rows=0)
    assert watch.monitor.status()["report"]["rows"] == 300
    watch.monitor = watch.new_monitor()
    watch.go_on(10, rows=0)
    assert watch.monitor.status()["report"]["rows"] == 0


def test_records_that_came_before_the_champion_was_known_are_found_again(watch: Watch) -> None:
    watch.monitor.receive(watch.handover(rows_of(300, seed=5), version=2))
    watch.put_champion(2)
    watch.go_on(10, rows=0)
    assert watch.monitor.status()["report"]["rows"] == 300


# -- evidence ----------------------------------------------------------------------------------------------------------


def requests(watch: Watch, *rows: dict[str, Any]) -> dict[str, Any]:
    """A handover of these requests, served just now."""
    return watch.handover(rows_of(1, seed=1)) | {"records": served(*[{"time_s": watch.now_s, **row} for row in rows])}


def errors(watch: Watch, cursor: Cursor) -> list[tuple[int, int, int]]:
    """Of each block requests of the canary, first failures and further ones."""
    blocks = watch.monitor.evidence(2, cursor)[1]
    return [(block.canary_requests, block.canary_errors, block.canary_repeated_errors) for block in blocks]


ADA, BOB = (on("canary", unit=unit, error="boom") for unit in ("ada", "bob"))


def test_evidence_is_there_as_long_as_its_rollout(watch: Watch) -> None:
    watch.put_rollout()
    watch.monitor.receive(requests(watch, ADA, ADA))
    watch.monitor.follow(watch.now_s)
    assert errors(watch, Cursor()) == [(2, 1, 1)]
    watch.put_rollout(phase="COMPLETED")
    watch.monitor.follow(watch.now_s)
    assert errors(watch, Cursor()) == []


def test_evidence_goes_on_after_a_restart_where_a_reader_was(watch: Watch) -> None:
    watch.put_rollout(created_s=watch.now_s - 5)
    watch.monitor.receive(requests(watch, ADA))
    cursor, _ = watch.monitor.evidence(2, Cursor())
    watch.monitor.receive(requests(watch, ADA))
    watch.monitor = watch.new_monitor()
    watch.monitor.receive(requests(watch, ADA, BOB))
    assert errors(watch, cursor) == [(1, 0, 1), (2, 1, 1)]


def test_scores_are_compared_in_bins_of_the_champions_reference(watch: Watch) -> None:
    watch.put_rollout()
    watch.monitor.receive(requests(watch, on("canary", score=0.95), on("champion", score=0.05)))
    (block,) = watch.monitor.evidence(2, Cursor())[1]
    assert block.scores == ((0,) * 9 + (1,), (1,) + (0,) * 9)


def test_what_replicas_dropped_is_counted(watch: Watch) -> None:
    watch.monitor.receive(requests(watch, on("champion")) | {"dropped": 3, "dropped_copies": 2})
    watch.monitor.receive(requests(watch, on("champion")) | {"dropped": 1, "dropped_copies": 0})
    assert watch.monitor.status()["dropped"] == {"rows": 4, "copies": 2}


# -- the sample ratio --------------------------------------------------------------------------------------------------


def lopsided(watch: Watch) -> None:
    """A rollout at a tenth, and a split in halves."""
    watch.put_rollout(created_s=watch.now_s)
    sides = [on("canary"), on("champion")] * 40
    watch.monitor.receive(requests(watch, *[side | {"unit": f"u{i}"} for i, side in enumerate(sides)]))


def test_a_split_that_is_not_the_routes_raises_one_critical_alert(watch: Watch) -> None:
    lopsided(watch)
    for _ in range(3):
        watch.monitor.follow(watch.now_s)
    (alert,) = watch.store.alerts("toy")
    assert (alert.kind, alert.version, alert.severity, alert.state) == ("sample_ratio", 2, "critical", "open")
    assert "40 of 80 units on the canary, 50.00% where 10.00% should be" in alert.message
    assert alert.evidence["epoch"] == 1
    assert watch.told() == [alert.id]


def test_after_a_restart_the_same_split_is_no_news(watch: Watch) -> None:
    lopsided(watch)
    watch.monitor.follow(watch.now_s)
    watch.monitor = watch.new_monitor()
    watch.monitor.follow(watch.now_s)
    assert len(watch.store.alerts("toy")) == 1


def test_the_alert_on_a_split_is_resolved_when_the_rollout_has_ended(watch: Watch) -> None:
    lopsided(watch)
    watch.monitor.follow(watch.now_s)
    watch.put_rollout(phase="ROLLED_BACK")
    watch.monitor = watch.new_monitor()
    assert [alert.state for alert in watch.store.alerts("toy")] == ["resolved"]


def test_a_split_as_it_should_be_raises_nothing(watch: Watch) -> None:
    watch.put_rollout(created_s=watch.now_s)
    sides = [on("canary"), *[on("champion")] * 9] * 10
    watch.monitor.receive(requests(watch, *[side | {"unit": f"u{i}"} for i, side in enumerate(sides)]))
    watch.monitor.follow(watch.now_s)
    assert watch.store.alerts("toy") == []


# -- outcomes ----------------------------------------------------------------------------------------------------------

OUTCOMES = {"rollout": {"analysis": {"outcomes": [{"name": "mistakes", "of": "error", "max_harm": 0.1}]}}}


@pytest.fixture
def judged(workspace: Workspace, tmp_path: Path) -> Iterator[Watch]:
    """A rollout that is judged by outcomes, with one request on each side."""
    watch = Watch(workspace, tmp_path, spec=toy_spec(**OUTCOMES))
    watch.put_rollout(created_s=watch.now_s)
    watch.monitor.follow(watch.now_s)
    watch.monitor.receive(requests(watch, on("canary", score=0.9), on("champion", score=0.9)))
    yield watch
    watch.monitor.close()
    watch.store.close()


def means(watch: Watch) -> list[tuple[float, float]]:
    """Share of wrong labels on canary and champion, by epoch."""
    totals = watch.monitor.outcomes(2)
    assert totals is not None
    return [(stratum.canary.mean, stratum.champion.mean) for stratum in totals["mistakes"]]


def test_before_anybody_looked_nothing_is_known_of_outcomes(judged: Watch) -> None:
    assert judged.monitor.outcomes(2) is None


def test_labels_that_came_are_joined(judged: Watch) -> None:
    judged.monitor.keep_labels("labels", labels(("r0", 0, 0.0, 0.0), ("r1", 0, 1.0, 0.0)), judged.now_s)
    catch_up(judged.monitor, judged.now_s)
    assert means(judged) == [(1.0, 0.0)]


def test_after_a_restart_outcomes_are_joined_anew(judged: Watch) -> None:
    judged.monitor.keep_labels("labels", labels(("r0", 0, 0.0, 0.0), ("r1", 0, 1.0, 0.0)), judged.now_s)
    judged.monitor = judged.new_monitor()
    assert means(judged) == [(1.0, 0.0)]


def test_a_rollout_that_has_ended_has_no_outcomes(judged: Watch) -> None:
    catch_up(judged.monitor, judged.now_s)
    judged.put_rollout(phase="ROLLED_BACK")
    judged.monitor.follow(judged.now_s)
    catch_up(judged.monitor, judged.now_s)
    assert judged.monitor.outcomes(2) is None


# -- decay -------------------------------------------------------------------------------------------------------------


def answer(watch: Watch, name: str, *, score_of_positives: float) -> None:
    """Forty answered requests and their outcomes, half of them positive."""
    rows = rows_of(40, seed=9)
    rows[:20, 2], rows[20:, 2] = score_of_positives, 1 - score_of_positives
    handover = watch.handover(rows)
    watch.monitor.receive(handover)
    ids = handover["records"]["request_id"].to_pylist()
    outcomes = [(id, 0, float(i < 20), 0.0) for i, id in enumerate(ids)]
    watch.monitor.keep_labels(name, labels(*outcomes), watch.now_s)


@pytest.fixture
def labelled(workspace: Workspace, tmp_path: Path) -> Iterator[Watch]:
    """A model whose log loss, .3 on the holdout, may grow by .2 (a lower one is better, while auc is trained for)."""
    watch = Watch(workspace, tmp_path, spec=toy_spec(monitor=DECAY))
    yield watch
    watch.monitor.close()
    watch.store.close()


def test_outcomes_as_on_the_holdout_raise_nothing(labelled: Watch) -> None:
    answer(labelled, "labels", score_of_positives=0.75)
    labelled.go_on(10, rows=0)
    assert labelled.store.alerts("toy") == []
    performance = labelled.monitor.status()["performance"]
    assert (performance["rows"], performance["coverage"]) == (40, 1.0)


def test_decayed_outcomes_raise_one_critical_alert(labelled: Watch) -> None:
    answer(labelled, "labels", score_of_positives=0.3)
    labelled.go_on(50, rows=0)
    (alert,) = labelled.store.alerts("toy")
    assert (alert.kind, alert.severity, alert.state) == ("decay", "critical", "open")
    assert "log_loss of toy v1 is 1.2040 on 40 labelled rows, 0.3000 on the holdout" in alert.message


def test_much_better_outcomes_raise_nothing(labelled: Watch) -> None:
    answer(labelled, "labels", score_of_positives=0.999)
    labelled.go_on(10, rows=0)
    assert labelled.store.alerts("toy") == []


def test_a_decay_alert_ends_when_corrected_outcomes_say_otherwise(labelled: Watch) -> None:
    answer(labelled, "labels", score_of_positives=0.3)
    labelled.go_on(10, rows=0)
    wrong = labelled.monitor._log.labels(0).to_pylist()
    corrected = [(row["request_id"], row["row"], 1 - row["label"], 0.0) for row in wrong]
    labelled.monitor.keep_labels("corrected", labels(*corrected), labelled.now_s)
    labelled.go_on(10, rows=0)
    assert [alert.state for alert in labelled.store.alerts("toy")] == ["resolved"]


def test_few_outcomes_raise_nothing(labelled: Watch) -> None:
    handover = labelled.handover(rows_of(40, seed=9))
    labelled.monitor.receive(handover)
    ids = handover["records"]["request_id"].to_pylist()
    labelled.monitor.keep_labels("labels", labels(*[(id, 0, float(id < "5"), 0.0) for id in ids[:39]]), labelled.now_s)
    labelled.go_on(10, rows=0)
    assert labelled.store.alerts("toy") == []
