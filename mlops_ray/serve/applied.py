"""What a champion's replica holds after a route was pushed to it."""

from dataclasses import dataclass

__all__ = ["Applied"]


@dataclass(frozen=True, slots=True)
class Applied:
    """What a replica holds, in answer to a route that was pushed."""

    epoch: int
    champion: int
    canary: int | None
    share: float
    mirror: float = 0.0
    front_digest: str = ""
    """Of the `serve` section that the replica was started with."""
