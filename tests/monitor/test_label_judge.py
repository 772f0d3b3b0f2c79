"""What outcomes make of a champion: findings of each kind, their end, and what is left after a restart."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from mlops_ray.control.outcome_text import outcome_lines
from mlops_ray.evaluation import HoldoutFacts, facts_of
from mlops_ray.lake import Lake
from mlops_ray.monitor.alert_book import AlertBook
from mlops_ray.monitor.alert_outbox import AlertOutbox
from mlops_ray.monitor.label_judge import LabelJudge
from mlops_ray.monitor.reference import Watched
from mlops_ray.records import LABELS, RecordLog
from mlops_ray.spec import AlertPolicy, ModelSpec, Workspace
from mlops_ray.store import Store
from tests.monitor.samples import SIGNATURE, reference, served, toy_spec

START_S = 1_700_000_000.0
HOUR_S = 3600.0
RANDOM = np.random.default_rng(0)


def holdout(rows: int = 2_000, error: float = 0.1) -> HoldoutFacts:
    """Right answers but for a share."""
    y = (np.arange(rows) % 2).astype(np.float64)
    wrong = np.random.default_rng(1).random(rows) < error
    return facts_of("binary", y, np.where(wrong, 1 - y, y) * 0.8 + 0.1, y)


def spec(**labels: Any) -> ModelSpec:
    monitor = {"window": {"size_s": HOUR_S, "every_s": 60, "min_rows": 20}, "labels": {"windows": 20, **labels}}
    return toy_spec(monitor=monitor)


class World:
    """A champion whose answers and outcomes are written as the test says."""

    def __init__(self, folder: Path, spec: ModelSpec, facts: HoldoutFacts | None) -> None:
        workspace = Workspace.at(folder / "home", lake=str(folder / "lake"))
        self.spec, self.now_s = spec, START_S
        self.store = Store(workspace.store)
        self.store.create()
        self.log = RecordLog(Lake(workspace.lake), "toy")
        self.book = AlertBook("toy", self.store, AlertOutbox("toy", [], AlertPolicy()))
        metrics = {"accuracy": 0.9, "auc": 0.9}
        self.watched = Watched(1, SIGNATURE, reference(), metrics, holdout=facts, created_s=START_S)
        self.judge = self.new_judge()
        self.rows = 0

    def new_judge(self) -> LabelJudge:
        return LabelJudge(self.spec, self.book, self.log, self.watched)

    def answer(
        self, wrong: Sequence[bool], *, positive: float = 0.5, labelled: bool = True, a: float = 0.0
    ) -> list[int]:
        """An hour of answers, of which these are wrong; their outcomes come at its end."""
        count = len(wrong)
        y = (RANDOM.random(count) < positive).astype(np.float64)
        said = np.where(wrong, 1 - y, y) * 0.8 + 0.1
        numbers = list(range(self.rows, self.rows + count))
        rows = [
            {
                "request_id": f"r{number:08d}",
                "time_s": self.now_s + i * HOUR_S / count,
                "score": float(said[i]),
                "features": {"a": a, "b": float(i)},
            }
            for i, number in enumerate(numbers)
        ]
        self.log.append_served(f"batch-{self.rows:08d}", served(*rows), self.now_s)
        self.rows += count
        self.now_s += HOUR_S
        if labelled:
            self.label(dict(zip(numbers, y.tolist(), strict=True)))
        return numbers

    def label(self, outcomes: dict[int, float]) -> None:
        rows = [
            {"request_id": f"r{number:08d}", "row": 0, "label": value, "received_s": self.now_s}
            for number, value in outcomes.items()
        ]
        name = f"labels-{self.now_s:.0f}-{min(outcomes):08d}"
        self.log.append_labels(name, pa.Table.from_pylist(rows, schema=LABELS), self.now_s)

    def look(self) -> Any:
        seen = self.judge.measure(self.now_s)
        self.judge.weigh(seen, self.now_s)
        return seen

    def alerts(self, state: str = "open") -> list[tuple[str, str]]:
        return [(a.kind, a.severity) for a in self.store.alerts("toy") if a.state == state]


Make = Callable[..., World]


@pytest.fixture
def world(tmp_path: Path) -> Make:
    def make(facts: HoldoutFacts | None = None, **labels: Any) -> World:
        return World(tmp_path, spec(**labels), facts if facts is not None else holdout())

    return make


def errors(count: int, share: float) -> list[bool]:
    return (RANDOM.random(count) < share).tolist()


def test_errors_that_stay_as_on_the_holdout_raise_nothing(world: Make) -> None:
    here = world()
    for _ in range(10):
        here.answer(errors(200, 0.1))
        seen = here.look()
    assert here.alerts() == []
    assert (seen.errors.level, seen.errors.seen) == ("stable", 2_000)


def test_more_errors_are_concept_drift_a_warning_first_or_at_once(world: Make) -> None:
    here = world()
    here.answer(errors(400, 0.1))
    here.look()
    here.answer(errors(400, 0.4))
    here.look()
    assert here.alerts() == [("concept_drift", "critical")]
    (alert,) = here.store.alerts("toy")
    assert "drift level since label" in alert.message
    assert alert.evidence["errors"]["alarms"] >= 1


def test_a_warning_that_becomes_drift_is_told_as_another_alert(world: Make) -> None:
    here = world(concept_drift={"run_length": 10**9, "warning_run_length": 100})
    here.answer([True, False, False, False] * 30)
    here.look()
    assert here.alerts() == [("concept_drift", "warning")]
    here.answer(errors(600, 0.6))
    here.look()
    assert here.alerts() == [("concept_drift", "critical")]
    assert here.alerts("resolved") == [("concept_drift", "warning")]


def test_errors_that_stay_frequent_are_another_alert_again(world: Make) -> None:
    """A retraining that its gates refused must not be the last one, and nobody is told every hour."""
    here = world()
    alarms = []
    for _ in range(6):
        here.answer(errors(200, 0.5))
        alarms.append(here.look().errors.alarms)
    assert here.alerts() == [("concept_drift", "critical")]
    told = [a.evidence["errors"]["alarms"] for a in here.store.alerts("toy")]
    assert 2 <= len(told) < len(alarms)
    assert all(later >= 2 * earlier for earlier, later in pairwise(told))


def test_concept_drift_ends_when_errors_are_rare_again(world: Make) -> None:
    here = world()
    here.answer(errors(300, 0.5))
    here.look()
    here.answer(errors(600, 0.05))
    here.look()
    assert here.alerts() == []


def test_labels_out_of_order_and_sent_twice_give_the_stream_of_the_predictions(world: Make) -> None:
    here = world()
    numbers = here.answer(errors(200, 0.3), labelled=False)
    outcomes = dict(zip(numbers, (RANDOM.random(200) < 0.5).astype(float).tolist(), strict=True))
    late, early = dict(list(outcomes.items())[:100]), dict(list(outcomes.items())[100:])
    here.label(early)
    here.look()
    here.now_s += 60
    here.label(late)
    here.label({number: 1 - value for number, value in list(early.items())[:50]})
    here.now_s += 60
    here.label(early)
    in_steps = here.look().errors
    fresh = here.new_judge().measure(here.now_s).errors
    assert in_steps == fresh
    assert in_steps.seen == 200


def test_after_a_restart_no_label_is_lost_and_none_counts_twice(world: Make) -> None:
    """Also of those that are older than the window of performance: they are in the checkpoint."""
    here = world(windows=3)
    for i in range(12):
        here.answer(errors(50, 0.15))
        if i % 3 == 2:
            here.judge = here.new_judge()
        stream = here.look().errors
    assert stream.seen == 600
    assert here.log.checkpoint("errors-v1") is not None
    here.spec = spec(windows=1000)  # it reads what is sealed again, and counts it once
    assert here.new_judge().measure(here.now_s).errors == stream
    here.log.keep_checkpoint("errors-v1", b"null")
    assert here.new_judge().measure(here.now_s).errors == stream


def test_while_the_process_is_away_labels_are_not_lost(world: Make) -> None:
    here = world(windows=2)
    here.answer(errors(50, 0.1))
    here.look()
    for _ in range(8):
        here.answer(errors(50, 0.1))
    here.judge = here.new_judge()
    assert here.look().errors.seen == 450


def test_a_version_without_facts_of_its_holdout_has_no_stream(tmp_path: Path) -> None:
    here = World(tmp_path, spec(), None)
    here.answer(errors(400, 0.9))
    seen = here.look()
    assert (seen.errors, here.alerts()) == (None, [])


def test_a_drop_by_chance_is_no_decay(world: Make) -> None:
    """Larger than max_drop, but on so few labels that it means nothing."""
    here = world(decay={"metric": "accuracy", "max_drop": 0.03, "min_labels": 20}, concept_drift={"enabled": False})
    here.answer([True] * 4 + [False] * 21)
    assert here.look().performance.metrics["accuracy"] == pytest.approx(0.84)
    assert here.alerts() == []
    here.answer([True] * 64 + [False] * 336)
    here.look()
    assert here.alerts() == [("decay", "critical")]


def test_decay_ends_below_half_of_the_drop(world: Make) -> None:
    here = world(
        windows=1, decay={"metric": "accuracy", "max_drop": 0.06, "min_labels": 20}, concept_drift={"enabled": False}
    )
    for wrong, expected in ((80, 1), (55, 1), (40, 0)):
        here.answer([True] * wrong + [False] * (400 - wrong))
        here.look()
        assert len(here.alerts()) == expected


def test_decay_that_stays_is_told_again_on_rows_of_which_none_was_looked_at_before(world: Make) -> None:
    """Its retraining may have been refused: with other rows it may come to something."""
    here = world(
        windows=3, decay={"metric": "accuracy", "max_drop": 0.06, "min_labels": 20}, concept_drift={"enabled": False}
    )
    for hour in range(1, 9):
        here.answer([True] * 30 + [False] * 70)
        here.look()
        assert here.alerts() == [("decay", "critical")]
        assert len(here.alerts("resolved")) == (hour - 1) // 3
    here.judge = here.new_judge()
    here.look()
    assert len(here.alerts("resolved")) == 2


def test_other_outcomes_are_label_drift(world: Make) -> None:
    here = world()
    here.answer(errors(500, 0.1), positive=0.9)
    here.look()
    assert here.alerts() == [("label_drift", "warning")]


def test_windows_are_provisional_until_their_outcomes_should_be_there(world: Make) -> None:
    here = world(matures_s=HOUR_S)
    here.now_s = START_S // HOUR_S * HOUR_S
    here.watched = replace(here.watched, created_s=here.now_s)
    here.judge = here.new_judge()
    here.answer(errors(100, 0.1))
    here.answer(errors(100, 0.1), labelled=False)
    here.answer(errors(100, 0.1))
    windows = here.look().windows
    assert [(w.rows, w.answers, w.ripeness) for w in windows] == [
        (100, 100, "matured"),
        (0, 100, "provisional"),  # too few outcomes
        (100, 100, "provisional"),  # still expected
    ]
    assert windows[0].metrics["accuracy"] > 0.8


def test_unfair_answers_are_found_by_group(tmp_path: Path) -> None:
    fairness = [{"attribute": "a", "bins": [0.5], "metric": "demographic_parity_ratio", "min": 0.8, "min_rows": 50}]
    here = World(tmp_path, spec().model_copy(update={"fairness": toy_spec(fairness=fairness).fairness}), holdout())
    here.answer([False] * 400, positive=0.5, a=0.0)
    here.answer([False] * 400, positive=0.5, a=1.0)
    here.look()
    assert here.alerts() == []
    here.answer([False] * 2_000, positive=0.1, a=1.0)
    here.look()
    assert ("fairness", "critical") in here.alerts()
    (alert,) = [a for a in here.store.alerts("toy") if a.kind == "fairness"]
    assert alert.features == ("a",)


def test_the_status_is_json_and_text(world: Make) -> None:
    business = [{"name": "money", "expression": "(10 * tp - 5 * fp) / n"}, {"name": "b", "expression": "label * b"}]
    here = world(business=business)
    here.answer(errors(400, 0.1))
    here.answer([True] * 400, a=3.0)
    here.look()
    status = json.loads(json.dumps(here.judge.status(), allow_nan=False))
    text = "\n".join(outcome_lines(status["outcomes"]))
    assert "money: " in text
    assert "worse where a " in text
    assert "errors: drift" in text
    assert "blind to concept drift" in text
    assert outcome_lines(None) == []


def test_a_lucky_holdout_is_no_decay(tmp_path: Path) -> None:
    """The holdout's value is measured too: on few rows it allows for more."""
    settings = {
        "decay": {"metric": "accuracy", "max_drop": 0.05, "min_labels": 20},
        "concept_drift": {"enabled": False},
    }
    outcomes = [True] * 66 + [False] * 334
    for rows, expected in ((100, 0), (10_000, 1)):
        here = World(tmp_path / str(rows), spec(**settings), holdout(rows))
        here.answer(outcomes)
        here.look()
        assert len(here.alerts()) == expected


def sliced(here: World) -> None:
    """Two hours of answers, those whose feature a is 3 wrong."""
    here.answer(errors(400, 0.05))
    here.answer([True] * 400, a=3.0)


DECAY = {"metric": "accuracy", "max_drop": 0.06, "min_labels": 20}


@pytest.mark.parametrize("kind", ["decay", "concept_drift"])
def test_an_alert_on_outcomes_names_the_worst_slice_and_shows_the_newest_wrong_rows(world: Make, kind: str) -> None:
    here = world(decay=DECAY) if kind == "decay" else world()
    sliced(here)
    here.look()
    (alert,) = [a for a in here.store.alerts("toy") if a.kind == kind]
    assert "; worst where a >= 3 (100.0% wrong of 400 rows)" in alert.message
    assert alert.features == (), "the features of slices that come and go are no news"
    first = alert.evidence["features"][0]
    assert (first["name"], first["measure"]) == ("a", "errors above those of other rows")
    assert first["value"] > 0.9
    samples = alert.evidence["samples"]
    assert [row["request_id"] for row in samples] == ["r00000799", "r00000798", "r00000797"]
    assert set(samples[0]) == {"request_id", "row", "time", "answer", "label", "a", "b"}
    assert all((row["answer"] >= 0.5) != (row["label"] == 1.0) and row["a"] == 3.0 for row in samples)


def test_right_answers_are_no_samples_and_the_status_has_none(world: Make) -> None:
    here = world(decay=DECAY)
    here.answer([True] * 2 + [False] * 300)
    seen = here.look()
    assert [row["request_id"] for row in seen.samples] == ["r00000001", "r00000000"]
    assert "samples" not in seen.to_json()
    assert "r00000001" not in json.dumps(here.judge.status(), allow_nan=False)


def test_outcomes_show_no_rows_where_the_spec_says_none(world: Make) -> None:
    here = world(decay=DECAY)
    here.spec = here.spec.model_copy(update={"alerting": AlertPolicy(samples=0)})
    here.judge = here.new_judge()
    sliced(here)
    assert here.look().samples == ()
    assert all("samples" not in alert.evidence for alert in here.store.alerts("toy"))


def test_outcomes_show_no_feature_that_the_spec_hides(world: Make) -> None:
    here = world(decay=DECAY)
    hidden = toy_spec(serve={"latency_objective_ms": 100, "capture": {"fields": {"a": "hash"}}}).serve
    here.spec = here.spec.model_copy(update={"serve": hidden})
    here.judge = here.new_judge()
    sliced(here)
    assert [sorted(row) for row in here.look().samples] == [["answer", "b", "label", "request_id", "row", "time"]] * 3
