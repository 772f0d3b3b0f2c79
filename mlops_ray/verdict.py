"""The three answers a judgement can have."""

from enum import StrEnum

__all__ = ["Verdict"]


class Verdict(StrEnum):
    """PASS and FAIL are decisions; INCONCLUSIVE says that the evidence allows neither."""

    PASS = "PASS"
    FAIL = "FAIL"
    INCONCLUSIVE = "INCONCLUSIVE"
