"""Work that is done again and again on a thread of its own, and that can be seen to hang."""

import logging
import threading
import time
from collections.abc import Callable

from mlops_ray.errors import MlopsRayError

__all__ = ["Repeating"]

_log = logging.getLogger(__name__)


class Repeating:
    """Calls `work` every `every_s` seconds for ever; a call that fails is logged, and the next one comes."""

    def __init__(self, name: str, work: Callable[[], None], *, every_s: float) -> None:
        self.name = name
        self._work = work
        self._every_s = every_s
        self._began_s: float | None = None
        self._thread = threading.Thread(target=self._run, daemon=True, name=name)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def busy_s(self) -> float:
        """How long the present call has been going on, or its present part; 0 between two calls."""
        began_s = self._began_s
        return 0.0 if began_s is None else time.monotonic() - began_s

    def beat(self) -> None:
        """Work in parts says that another part begins; called by the work itself."""
        self._began_s = time.monotonic()

    def _run(self) -> None:
        while True:
            self._began_s = time.monotonic()
            try:
                self._work()
            except MlopsRayError as error:
                _log.warning("%s: %s", self.name, error)
            except Exception:  # noqa: BLE001 - one bad call must not end the work for ever
                _log.exception("%s failed; goes on", self.name)
            self._began_s = None
            time.sleep(self._every_s)
