"""The versions that a champion's replica holds in memory, and those it is loading."""

import asyncio
from collections.abc import Iterable

from mlops_ray.serve.loaded import LoadedModel
from mlops_ray.serve.versions import Versions

__all__ = ["WarmVersions"]


class WarmVersions:
    """Loads versions on threads and keeps them until they are let go; touched on one event loop only."""

    def __init__(self, versions: Versions, first: int) -> None:
        """`first` is loaded at once, before there is an event loop.

        Raises:
            ModelError: it cannot be loaded.
        """
        self._versions = versions
        self._held = {first: versions.load(first)}
        self._loading: dict[int, asyncio.Future[LoadedModel]] = {}

    def __len__(self) -> int:
        return len(self._held)

    @property
    def held(self) -> Iterable[LoadedModel]:
        """What is in memory."""
        return self._held.values()

    def get(self, version: int) -> LoadedModel | None:
        """A version, if it is in memory."""
        return self._held.get(version)

    async def load(self, version: int) -> LoadedModel:
        """A version from memory, or loaded once for all who ask for it meanwhile; it is not held yet.

        Raises:
            ModelError: it cannot be loaded.
        """
        held = self._held.get(version)
        if held is not None:
            return held
        loading = self._loading.get(version)
        if loading is None:
            load = asyncio.get_running_loop().run_in_executor(None, self._versions.load, version)
            loading = self._loading[version] = load
            load.add_done_callback(lambda _: self._loading.pop(version))
        return await asyncio.shield(loading)

    def hold(self, champion: LoadedModel, *, also: int | None = None) -> None:
        """Keep the champion, and version `also` if it is in memory; let the others go."""
        kept = {version: model for version, model in self._held.items() if version == also}
        self._held = {**kept, champion.version: champion}
