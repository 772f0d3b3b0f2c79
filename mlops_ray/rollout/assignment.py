"""Which unit meets the canary: a stable hash, so that every process answers alike and nobody flips back and forth.

bucket = first 8 bytes of blake2b(salt, NUL, unit), as a number, modulo 10,000, and a unit is on the canary when that is
below share x 10,000. Nothing else goes in, so the same function reproduces any assignment offline, from the salt and
the shares that the rollout's history keeps.
"""

from hashlib import blake2b

__all__ = ["BUCKETS", "bucket", "on_canary"]

BUCKETS = 10_000
"""Number of buckets; a share is realised in steps of 1 / BUCKETS."""


def bucket(unit: str, salt: str) -> int:
    """The bucket of a unit, 0 .. BUCKETS - 1, the same in every process and on every machine.

    Another salt shuffles all units anew, so that one rollout's canary users are not the next one's.

    >>> bucket("customer-7", "churn:4"), bucket("customer-7", "churn:5")
    (3695, 1393)
    """
    text = f"{salt}\0{unit}".encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "big") % BUCKETS


def on_canary(unit: str, salt: str, share: float) -> bool:
    """Whether a unit belongs to the canary's `share` (0..1, rounded to 1 / BUCKETS).

    Monotone: a unit on the canary at one share stays on it at every larger one.

    >>> [on_canary("customer-7", "churn:4", share) for share in (0.0, 0.3695, 0.3696, 1.0)]
    [False, False, True, True]
    """
    return bucket(unit, salt) < round(share * BUCKETS)
