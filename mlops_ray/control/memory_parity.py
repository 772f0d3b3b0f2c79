"""A parity check without anybody to ask."""

from dataclasses import dataclass, field

from mlops_ray.errors import ClusterError
from mlops_ray.spec import ModelSpec
from mlops_ray.store import ModelVersionRecord

__all__ = ["MemoryParity"]


@dataclass
class MemoryParity:
    """See `ParityCheck`; versions differ as told, and everybody may be away."""

    differences: dict[int, str] = field(default_factory=dict)
    away: bool = False
    asked: list[int] = field(default_factory=list)

    def difference(self, spec: ModelSpec, version: ModelVersionRecord) -> str | None:
        """See `ParityCheck.difference`."""
        if self.away:
            raise ClusterError(f"nobody answers for {spec.name}")
        self.asked.append(version.version)
        return self.differences.get(version.version)
