from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_ray.monitor.operational_judge import OperationalWindow, judge_operations
from mlops_ray.monitor.traffic_totals import TrafficTotals
from mlops_ray.spec import Operational, Workspace
from mlops_ray.verdict import Verdict
from tests.monitor.samples import Watch, toy_spec
from tests.monitor.test_traffic_totals import report

POLICY = Operational(max_error_share=0.02, max_slow_share=0.05, min_requests=200, quiet_s=60)


def verdict(requests: int, failed: int = 0, slow: int = 0, *, raised: bool = False) -> Verdict:
    return judge_operations(OperationalWindow(requests, failed, slow, 0.0), POLICY, now_s=1.0, raised=raised).verdict


def test_too_few_requests_say_nothing() -> None:
    assert verdict(199, 199) is Verdict.INCONCLUSIVE
    assert verdict(200, 200) is Verdict.FAIL


@pytest.mark.parametrize(("failed", "slow", "critical"), [(60, 0, True), (0, 120, False), (60, 120, True)])
def test_errors_are_critical_and_late_answers_a_warning(failed: int, slow: int, critical: bool) -> None:
    found = judge_operations(OperationalWindow(1000, failed, slow, 0.0), POLICY, now_s=1.0)
    assert (found.verdict, found.critical) == (Verdict.FAIL, critical)
    assert ("failed" in found.message) == bool(failed)
    assert ("late" in found.message) == bool(slow)


def test_an_alert_at_the_edge_does_not_flap() -> None:
    assert verdict(1000, 60) is Verdict.FAIL
    assert verdict(1000, 15) is Verdict.PASS
    assert verdict(1000, 15, raised=True) is Verdict.FAIL
    assert verdict(1000, 10, raised=True) is Verdict.PASS


def test_silence_counts_from_the_newest_request_and_only_where_it_is_asked_for() -> None:
    silent = OperationalWindow(0, 0, 0, 100.0)
    assert judge_operations(silent, POLICY, now_s=161.0).verdict is Verdict.FAIL
    assert judge_operations(silent, POLICY, now_s=159.0).verdict is Verdict.INCONCLUSIVE
    assert judge_operations(silent, Operational(), now_s=1e6).verdict is Verdict.INCONCLUSIVE
    assert judge_operations(OperationalWindow(), POLICY, now_s=1e6).verdict is Verdict.INCONCLUSIVE


@given(st.integers(200, 5000), st.data())
def test_more_errors_never_make_it_better(requests: int, data: st.DataObject) -> None:
    failed = data.draw(st.integers(0, requests - 1))
    if verdict(requests, failed) is Verdict.FAIL:
        assert verdict(requests, failed + 1) is Verdict.FAIL


def test_a_service_at_its_limit_is_seldom_called_broken() -> None:
    """One window of a service that fails exactly as often as it may: at most 0.1 % of windows are called broken."""
    failed = np.random.default_rng(0).binomial(1000, POLICY.max_error_share, 20_000)
    worst = next(count for count in range(1001) if verdict(1000, count) is Verdict.FAIL)
    assert (failed >= worst).mean() < 0.0015


def test_an_alert_opens_and_ends_by_what_replicas_report(workspace: Workspace, tmp_path: Path) -> None:
    spec = toy_spec(monitor={"operational": {"window_s": 100, "min_requests": 50}})
    watch = Watch(workspace, tmp_path, spec)
    totals = TrafficTotals()
    for number in range(1, 40):
        watch.now_s += 10
        failed = 30 if number < 15 else 0
        totals.add(report("a", number, asked=100, failed=failed), watch.now_s, window_s=100.0)
        watch.monitor.judge_operations(totals, watch.now_s)
        if number == 14:
            ((kind, version, _),) = watch.open_alerts()
            assert (kind, version) == ("operational", 1)
    assert watch.open_alerts() == []
    assert len(watch.told()) == 1
    assert watch.monitor.status()["operations"]["verdict"] == "PASS"


def test_where_it_is_off_nobody_is_alerted(workspace: Workspace, tmp_path: Path) -> None:
    spec = toy_spec(monitor={"operational": {"enabled": False}})
    watch = Watch(workspace, tmp_path, spec)
    totals = TrafficTotals()
    totals.add(report("a", 1, asked=1000, failed=1000), watch.now_s, window_s=300.0)
    watch.monitor.judge_operations(totals, watch.now_s)
    assert watch.open_alerts() == []
