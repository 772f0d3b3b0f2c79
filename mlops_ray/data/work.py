"""How the files of a batch are dealt out to tasks: small ones together, large ones in parts; pure."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from mlops_ray.data.source import SourceObject

__all__ = ["Part", "Work", "plan_work"]

GROUP_BYTES = 64 * 2**20  # small files are read together up to this
PART_BYTES = 256 * 2**20  # larger files are read in parts of about this


@dataclass(frozen=True)
class Part:
    """Every `count`-th row group of a file, from the `index`-th on."""

    source: SourceObject
    index: int
    count: int

    def row_groups(self, total: int) -> range:
        """Those of the file's `total` row groups that belong to this part: consecutive ones."""
        return range(self.index * total // self.count, (self.index + 1) * total // self.count)


@dataclass(frozen=True)
class Work:
    """What one task reads, checks and writes."""

    index: int
    parts: tuple[Part, ...]


def plan_work(
    sources: Sequence[SourceObject],
    *,
    whole: Collection[str] = (),
    group_bytes: int = GROUP_BYTES,
    part_bytes: int = PART_BYTES,
) -> tuple[Work, ...]:
    """Deal out files, in their order.

    Args:
        sources: files to read.
        whole: URIs of files that must not be split, because their digest decides whether they are new.
        group_bytes: small files share a task up to this size.
        part_bytes: larger files are split into parts of about this size.
    """
    works: list[Work] = []
    group: list[Part] = []
    group_size = 0
    for source in sources:
        count = 1 if source.uri in whole else max(1, -(-source.size_bytes // part_bytes))
        if group and (count > 1 or group_size + source.size_bytes > group_bytes):
            works.append(Work(len(works), tuple(group)))
            group, group_size = [], 0
        if count > 1:
            works += [Work(len(works) + i, (Part(source, i, count),)) for i in range(count)]
        else:
            group.append(Part(source, 0, 1))
            group_size += source.size_bytes
    return (*works, Work(len(works), tuple(group))) if group else tuple(works)
