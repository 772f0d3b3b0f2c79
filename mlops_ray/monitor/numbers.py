"""Numbers for hand-overs that grow for ever, whoever gives them."""

import json
from collections.abc import Mapping

import pyarrow as pa

from mlops_ray.lake import Lake

__all__ = ["Numbers", "number_of"]

_KEY = b"mlops_ray.number"
_PER_GENERATION = 2**32


class Numbers:
    """The hand-overs of a model in the order they became durable, over all processes that ever kept them.

    A process begins where no other has been: it takes the next generation, which is kept in the lake. So it needs to
    read no records first, and no clock has to be right. A number travels in the metadata of the Parquet file.
    """

    def __init__(self, lake: Lake, model: str) -> None:
        self._lake = lake
        self._path = f"records/{model}/numbering.json"
        self._next: int | None = None

    def upcoming(self) -> int:
        """The number that is given next; all numbers given by others are smaller."""
        if self._next is None:
            generation = self._generation() + 1
            self._lake.write_bytes(self._path, json.dumps({"generation": generation}).encode())
            self._next = generation * _PER_GENERATION
        return self._next

    def stamp(self, records: pa.Table) -> tuple[int, pa.Table]:
        """The next number, and the records with it in their metadata."""
        number = self.upcoming()
        self._next = number + 1
        return number, records.replace_schema_metadata({**(records.schema.metadata or {}), _KEY: str(number)})

    def _generation(self) -> int:
        if not self._lake.exists(self._path):
            return 0
        generation: int = json.loads(self._lake.read_bytes(self._path))["generation"]
        return generation


def number_of(note: Mapping[bytes, bytes]) -> int:
    """The number in a file's metadata; 0 for a file from before hand-overs were numbered."""
    return int(note.get(_KEY, b"0"))
