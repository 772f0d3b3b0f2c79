from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mlops_ray.control.overview import drift_text
from mlops_ray.drift import Column, Profile, UnseenValues, build_reference, fold
from mlops_ray.model import InputColumn, Signature
from mlops_ray.monitor.drift_judge import DriftJudge
from mlops_ray.monitor.panes import Panes
from mlops_ray.monitor.reference import Watched
from mlops_ray.spec import Workspace
from tests.monitor.samples import Watch, rows_of


@pytest.fixture
def watch(workspace: Workspace, tmp_path: Path) -> Iterator[Watch]:
    """Model "toy" with champion 1, watched."""
    watch = Watch(workspace, tmp_path)
    yield watch
    watch.monitor.close()
    watch.store.close()


def watched(watch: Watch, *, block_auc: float | None, shares: dict[str, float] | None = None) -> Watched:
    """The champion, whose bundle has training rows."""
    champion = watch.monitor._champion
    assert champion is not None
    reference = replace(champion.watched.reference, block_auc=block_auc).with_importance(shares or {})
    return replace(champion.watched, sample=rows_of(1000, seed=7)[:, :2], reference=reference)


def serve(watch: Watch, judge: DriftJudge, panes: Panes, *, seconds: int, together: bool, shift_b: float = 0.0) -> None:
    """Traffic whose second feature follows the first one, or not, though by itself it looks the same."""
    for step in range(seconds // 10):
        watch.now_s += 10
        matrix = rows_of(50, seed=100 + step, shift_b=shift_b)
        if together:
            matrix[:, 1] = (matrix[:, 0] + 0.2 * matrix[:, 1]) / 1.02
        handover = watch.handover(matrix)
        panes.add(watch.now_s, Profile.from_bytes(handover["profile"]))
        judge.sample(watch.now_s, handover["records"])
        judge.judge(panes, watch.now_s)


def test_features_that_go_together_in_another_way_are_drift(watch: Watch) -> None:
    known = watched(watch, block_auc=0.52)
    judge, panes = (
        DriftJudge(watch.spec, watch.monitor._book, known, now_s=watch.now_s),
        Panes(known.reference, size_s=200),
    )
    serve(watch, judge, panes, seconds=60, together=False)
    assert watch.open_alerts() == []
    serve(watch, judge, panes, seconds=160, together=True)
    assert watch.open_alerts() == [("drift", 1, [])]
    (alert,) = watch.store.alerts("toy")
    assert "though no feature drifted by itself" in alert.message
    assert alert.evidence["multivariate"]["auc"] > 0.65
    again = DriftJudge(watch.spec, watch.monitor._book, known, now_s=watch.now_s)
    again.judge(panes, watch.now_s)
    assert watch.open_alerts() == [("drift", 1, [])], "after a restart the sample is too small to say that it is over"


def test_what_is_not_known_of_the_training_alarms_nobody(watch: Watch) -> None:
    known = watched(watch, block_auc=None)
    judge, panes = (
        DriftJudge(watch.spec, watch.monitor._book, known, now_s=watch.now_s),
        Panes(known.reference, size_s=200),
    )
    serve(watch, judge, panes, seconds=160, together=True)
    assert watch.open_alerts() == []
    assert judge.status()["multivariate"]["auc"] > 0.65


def test_a_feature_that_the_model_relies_on_makes_an_alarm_critical(watch: Watch) -> None:
    known = watched(watch, block_auc=None, shares={"a": 0.2, "b": 0.8})
    judge, panes = (
        DriftJudge(watch.spec, watch.monitor._book, known, now_s=watch.now_s),
        Panes(known.reference, size_s=200),
    )
    serve(watch, judge, panes, seconds=200, together=False, shift_b=1.0)
    (alert,) = watch.store.alerts("toy")
    assert (alert.kind, alert.severity) == ("drift", "critical")
    assert "the model relies on them for 80%" in alert.message


def test_what_breaks_slowly_is_broken_before_it_is_drift(watch: Watch) -> None:
    """Hand-overs come half a minute late, so the time since the look before is empty whenever somebody looks."""
    known = watched(watch, block_auc=None)
    judge = DriftJudge(watch.spec, watch.monitor._book, known, now_s=watch.now_s)
    panes = Panes(known.reference, size_s=200)
    for step in range(80):
        watch.now_s += 10
        matrix = rows_of(40, seed=300 + step)
        if 30 <= step < 50:
            matrix[:, 0], matrix[:, -1] = 1000.0, 1.0
        panes.add(watch.now_s - 30, Profile.from_bytes(watch.handover(matrix)["profile"]))
        judge.judge(panes, watch.now_s)
        if step in (29, 33, 70, 79):
            assert bool(watch.open_alerts()) == (step in (33, 70)), step
    assert {alert.kind for alert in watch.store.alerts("toy")} == {"data_quality"}


def test_broken_rows_that_come_late_are_no_drift(watch: Watch) -> None:
    """One replica could not hand over for a while: all the newest rows are fine, and its own are minutes old."""
    known = watched(watch, block_auc=None)
    judge = DriftJudge(watch.spec, watch.monitor._book, known, now_s=watch.now_s)
    panes = Panes(known.reference, size_s=200)
    for step in range(60):
        watch.now_s += 10
        panes.add(watch.now_s, fold(known.reference, rows_of(40, seed=600 + step)))
        if step == 25:
            late = rows_of(160, seed=5)
            late[:, 0], late[:, -1] = 1000.0, 1.0
            panes.add(watch.now_s - 150, fold(known.reference, late))
        judge.judge(panes, watch.now_s)
        if step in (24, 25, 35, 59):
            assert bool(watch.open_alerts()) == (step in (25, 35)), step
    assert {alert.kind for alert in watch.store.alerts("toy")} == {"data_quality"}


def test_after_a_restart_a_window_of_broken_rows_is_no_drift(watch: Watch) -> None:
    known = watched(watch, block_auc=None)
    panes = Panes(known.reference, size_s=200)
    for step in range(20):
        matrix = rows_of(40, seed=700 + step)
        if step < 8:
            matrix[:, 0], matrix[:, -1] = 1000.0, 1.0
        panes.add(watch.now_s + 10 * step, fold(known.reference, matrix))
    judge = DriftJudge(watch.spec, watch.monitor._book, known, now_s=watch.now_s + 200)
    for later_s in (200, 210, 220):
        judge.judge(panes, watch.now_s + later_s)
    assert watch.open_alerts() == [("data_quality", 1, ["a"])]


def test_categories_that_nobody_knew_are_named(watch: Watch) -> None:
    columns = [Column("plan", "categorical", ("free", "paid")), Column("prediction", "numeric", ())]
    generator = np.random.default_rng(0)
    known = build_reference(columns, np.column_stack((generator.integers(0, 2, 2000), generator.uniform(size=2000))))
    plan = InputColumn("plan", "category", nullable=False, categories=("free", "paid"))
    judge = DriftJudge(
        watch.spec, watch.monitor._book, Watched(1, Signature((plan,), "binary"), known, {}), now_s=watch.now_s
    )
    panes = Panes(known, size_s=200)
    for step in range(8):
        watch.now_s += 10
        codes = generator.integers(0, 2 if step < 5 else 3, 100)
        panes.add(watch.now_s, fold(known, np.column_stack((codes, generator.uniform(size=100)))))
        if step >= 5:
            values = UnseenValues()
            values.note("plan", {"Pro+": int((codes == 2).sum()) - 1, "gold": 1})
            judge.note_unseen(watch.now_s, values.to_bytes())
        judge.judge(panes, watch.now_s)
    (alert,) = watch.store.alerts("toy", state="open")
    assert (alert.kind, alert.features) == ("data_quality", ("plan",))
    assert alert.message.endswith("are none of the 2 known categories"), "the audit chain has no values of users"
    (problem,) = alert.evidence["problems"]
    assert problem["values"].startswith("'Pro+' (")
    assert "'gold' (1)" in problem["values"]
    assert "known categories: 'Pro+' (" in drift_text({"model": "toy", **judge.status(), "version": 1})
    assert judge.status()["unseen"]["plan"]["distinct"] == 2
