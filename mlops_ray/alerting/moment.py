"""A time as every message writes it."""

from datetime import UTC, datetime

__all__ = ["moment"]


def moment(at_s: float) -> str:
    """A time for people.

    >>> moment(1_700_000_000.5)
    '2023-11-14 22:13:20 UTC'
    """
    return datetime.fromtimestamp(int(at_s), UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
