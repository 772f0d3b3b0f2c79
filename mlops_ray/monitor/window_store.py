"""Keeps the closed hours and days of a model version in the lake, so that a restart of the drift actor keeps them."""

import logging

from mlops_ray.errors import SourceError, ValidationError
from mlops_ray.lake import Lake
from mlops_ray.monitor.panes import Panes

__all__ = ["WindowStore"]

_log = logging.getLogger(__name__)


class WindowStore:
    """One file for each version, written again when an hour has closed."""

    def __init__(self, lake: Lake, model: str) -> None:
        self._lake = lake
        self._model = model
        self._written: tuple[int, tuple[int, int]] | None = None

    def restore(self, version: int, panes: Panes) -> None:
        """Put into `panes` what was kept; one that cannot be used is left aside, and told in the log."""
        try:
            panes.restore(self._lake.read_bytes(self._path(version)))
        except SourceError:
            return  # the version is new
        except ValidationError as error:
            _log.warning("model %s v%d: hours and days begin anew: %s", self._model, version, error)

    def keep(self, version: int, panes: Panes) -> bool:
        """Write the checkpoint where it has changed; whether it was written."""
        known = version, panes.state
        if self._written == known:
            return False
        self._lake.write_bytes(self._path(version), panes.checkpoint())
        self._written = known
        return True

    def _path(self, version: int) -> str:
        return f"monitor/{self._model}/windows-v{version}.bin"
