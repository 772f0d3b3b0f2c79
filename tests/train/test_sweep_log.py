import copy
import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from mlops_ray.tracking import Outbox
from mlops_ray.train.reporter import FINISHED
from mlops_ray.train.sweep_log import SweepLog


class Clock:
    """Seconds that grow by one with every look."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        self.now_s += 1
        return self.now_s


def log_in(folder: Path, said: list[str] | None = None) -> SweepLog:
    tell = (said if said is not None else []).append
    return SweepLog(Outbox(folder), metric="auc", planned=3, progress=tell, clock=Clock())


def trial(name: str, **config: Any) -> Any:
    """What the log looks at of one of Tune's trials."""
    return SimpleNamespace(
        trial_id=name, config=config, checkpoint=None, error_file=None, status="RUNNING", last_result={}
    )


def report(log: SweepLog, of: Any, iteration: int, value: float, **more: Any) -> None:
    log.on_trial_result(trial=of, result={"iteration": iteration, "best_so_far": value, "auc": value, **more})


def steps(folder: Path, metric: str = "validation_auc") -> list[tuple[str, int]]:
    """Trial and step of every point that MLflow gets."""
    entries = [e for e in Outbox(folder).entries() if e["kind"] == "points"]
    return [(e["trial"], step) for e in entries for name, _, step, _ in e["points"] if name == metric]


def test_a_resumed_trial_begins_a_new_attempt_and_logs_no_step_twice(tmp_path: Path) -> None:
    first, a = log_in(tmp_path), trial("a", leaves=3)
    first.on_trial_start(trials=[a], trial=a)
    report(first, a, 1, 0.5)
    report(first, a, 2, 0.6)
    second = log_in(tmp_path)
    second.on_trial_start(trials=[a], trial=a)
    for iteration in (1, 2, 3):
        report(second, a, iteration, 0.4 + iteration / 10)
    assert steps(tmp_path) == [("a", 1), ("a", 2), ("a", 3)]
    assert second.trials["a"].attempt == 2
    assert second.trials["a"].curve == [(1, 0.5), (2, 0.6), (3, 0.7)]


def test_a_trial_that_ended_is_known_to_the_next_driver(tmp_path: Path) -> None:
    first, a = log_in(tmp_path), trial("a", leaves=3)
    first.on_trial_start(trials=[a], trial=a)
    report(first, a, 4, 0.9)
    a.checkpoint, a.last_result = SimpleNamespace(path="/tune/a/checkpoint_000000"), {FINISHED: True}
    first.on_trial_complete(trial=a)
    known = log_in(tmp_path).trials["a"]
    assert (known.outcome, known.value, known.iteration) == ("completed", 0.9, 4)
    assert (known.checkpoint, known.params) == ("/tune/a/checkpoint_000000", {"leaves": 3})
    assert known.seconds > 0


def test_a_trial_proposed_again_under_another_id_goes_on_in_the_same_run(tmp_path: Path) -> None:
    first, a = log_in(tmp_path), trial("a", leaves=3)
    first.on_trial_start(trials=[a], trial=a)
    report(first, a, 1, 0.5)
    second, b, c = log_in(tmp_path), trial("b", leaves=3), trial("c", leaves=4)
    second.on_trial_start(trials=[b, c], trial=b)
    second.on_trial_start(trials=[b, c], trial=c)
    report(second, b, 2, 0.6)
    assert steps(tmp_path) == [("a", 1), ("a", 2)]
    assert sorted(second.trials) == ["a", "c"]


def test_a_trial_nothing_goes_on_with_is_ended(tmp_path: Path) -> None:
    first, a = log_in(tmp_path), trial("a", leaves=3)
    first.on_trial_start(trials=[a], trial=a)
    second = log_in(tmp_path)
    second.give_up_left_over()
    assert second.trials["a"].outcome == "lost"
    assert Outbox(tmp_path).entries()[-1]["status"] == "KILLED"


def test_a_trial_that_lost_its_worker_is_a_new_attempt_and_its_time_counts(tmp_path: Path) -> None:
    said: list[str] = []
    log, a = log_in(tmp_path, said), trial("a")
    log.on_trial_start(trials=[a], trial=a)
    report(log, a, 1, 0.5)
    log.on_trial_recover(trial=a)
    log.on_trial_start(trials=[a], trial=a)
    report(log, a, 1, 0.5)
    assert (log.trials["a"].attempt, steps(tmp_path)) == (2, [("a", 1)])
    assert log.trials["a"].seconds > 0
    assert "is tried again" in said[0]


def test_a_trial_that_goes_on_after_a_pause_is_the_same_attempt(tmp_path: Path) -> None:
    log, a = log_in(tmp_path), trial("a")
    log.on_trial_start(trials=[a], trial=a)
    log.on_trial_start(trials=[a], trial=a)
    assert log.trials["a"].attempt == 1


def test_what_a_trainer_logs_goes_along(tmp_path: Path) -> None:
    log, a = log_in(tmp_path), trial("a")
    log.on_trial_start(trials=[a], trial=a)
    report(log, a, 1, 0.5, logged=[("loss", 0.25, 7)])
    assert steps(tmp_path, "loss") == [("a", 7)]


def test_tune_gets_the_living_log_back_when_it_loads_its_callbacks(tmp_path: Path) -> None:
    log = log_in(tmp_path)
    assert pickle.loads(pickle.dumps(log)) is log
    assert copy.deepcopy(log) is log


def test_a_driver_that_ends_early_leaves_no_run_running(tmp_path: Path) -> None:
    log, a, b = log_in(tmp_path), trial("a"), trial("b")
    for one in (a, b):
        log.on_trial_start(trials=[a, b], trial=one)
    log.on_trial_complete(trial=a)
    log.halt()
    last = Outbox(tmp_path).entries()[-1]
    assert (last["trial"], last["status"]) == ("b", "KILLED")
    assert log_in(tmp_path).trials["b"].outcome is None
