"""Whether a request may begin: who sends it, how often, and beside how many others."""

import time

from mlops_ray.errors import RequestError
from mlops_ray.serve.access import Access
from mlops_ray.serve.http import Headers
from mlops_ray.serve.in_flight import InFlight
from mlops_ray.store import Role

__all__ = ["Admission", "TooOften"]


class TooOften(RequestError):
    """A caller that has to wait for so long before it asks again."""

    def __init__(self, message: str, path: str = "", status: int = 429, retry_after_s: float = 1.0) -> None:
        super().__init__(message, path, status)
        self.retry_after_s = retry_after_s


class Admission:
    """The door of one replica; `most` requests at a time are let in."""

    def __init__(self, access: Access, *, most: int) -> None:
        self.access = access
        self.in_flight = InFlight(most)

    def check(self, headers: Headers, role: Role | None, *, peer: str = "") -> None:
        """Let the caller pass, and count that it came; see `Access.check`.

        Raises:
            RequestError: 401, 403, or 429 as `TooOften`.
        """
        caller = self.access.check(headers, role, peer=peer)
        if caller is None or caller.bucket is None:
            return
        wait_s = caller.bucket.take(time.monotonic())
        if wait_s:
            raise TooOften(
                f"key {caller.name!r} may ask {caller.bucket.per_s:g} times a second here, and asked more often",
                retry_after_s=wait_s,
            )

    def enter(self) -> InFlight:
        """To be entered for as long as the request is under way.

        Raises:
            RequestError: 503, as many as may be are under way.
        """
        if self.in_flight.full:
            raise RequestError(
                f"{self.in_flight.count} requests are being answered here, as many as serve.max_ongoing_requests "
                "allows; ask again in a moment",
                status=503,
            )
        return self.in_flight
