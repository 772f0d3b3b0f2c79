"""Judges how the champion is answered by: errors, answers that come too late, and silence. Pure."""

from dataclasses import dataclass

from scipy import stats

from mlops_ray.spec import Operational
from mlops_ray.verdict import Verdict

__all__ = ["OperationalReport", "OperationalWindow", "judge_operations"]

_CONFIDENCE = 0.999
_CALM = 0.5


@dataclass(frozen=True)
class OperationalWindow:
    """What a version was asked lately; copies, and requests for a version by name, are not counted."""

    requests: int = 0
    failed: int = 0
    slow: int = 0
    last_request_s: float | None = None
    """When the newest request ever was answered; None before the first one."""


@dataclass(frozen=True)
class OperationalReport:
    """FAIL names what is wrong; PASS, that nothing is; INCONCLUSIVE, that too little was seen to say so."""

    verdict: Verdict
    message: str
    critical: bool
    """Whether users get no answer, which is worse than a late one."""
    window: OperationalWindow


def judge_operations(
    window: OperationalWindow, policy: Operational, *, now_s: float, raised: bool = False
) -> OperationalReport:
    """The verdict on one window; `raised` is whether the one before was FAIL.

    A share is too large when the lower limit of its 99.9 % interval (Clopper and Pearson, Biometrika 1934) is above
    what it may be; once it was, it stays too large until it is at most half of that, so that a share at the edge does
    not flap.

    >>> policy = Operational(max_error_share=0.02)
    >>> judge_operations(OperationalWindow(1000, 25, 0, 0.0), policy, now_s=1.0).verdict.value  # may be chance
    'PASS'
    >>> print(judge_operations(OperationalWindow(1000, 50, 0, 0.0), policy, now_s=1.0).message)
    50 of 1000 requests failed (5.0 %, at most 2 % may)
    """
    quiet = _quiet(window, policy, now_s)
    if quiet:
        return OperationalReport(Verdict.FAIL, quiet, True, window)
    if window.requests < policy.min_requests:
        message = f"{window.requests} of {policy.min_requests} requests a judgement needs"
        return OperationalReport(Verdict.INCONCLUSIVE, message, False, window)
    failed = _too_many(window.failed, window.requests, policy.max_error_share, "requests failed", raised=raised)
    slow = ""
    if policy.max_slow_share is not None:
        slow = _too_many(window.slow, window.requests, policy.max_slow_share, "answers were late", raised=raised)
    wrong = [reason for reason in (failed, slow) if reason]
    if wrong:
        return OperationalReport(Verdict.FAIL, "; ".join(wrong), bool(failed), window)
    return OperationalReport(Verdict.PASS, f"{window.requests} requests answered as they should be", False, window)


def _quiet(window: OperationalWindow, policy: Operational, now_s: float) -> str:
    if policy.quiet_s is None or window.last_request_s is None:
        return ""
    silent_s = now_s - window.last_request_s
    return f"no request for {silent_s:.0f} s, where {policy.quiet_s:g} s are long" if silent_s > policy.quiet_s else ""


def _too_many(count: int, of: int, limit: float, what: str, *, raised: bool) -> str:
    """A sentence when `count` of `of` are; empty when they are not."""
    lower = float(stats.beta.ppf(1 - _CONFIDENCE, count, of - count + 1)) if count else 0.0
    if lower > limit or (raised and count / of > _CALM * limit):
        return f"{count} of {of} {what} ({100 * count / of:.1f} %, at most {100 * limit:g} % may)"
    return ""
