"""What a column of a matrix means to the drift check."""

from dataclasses import dataclass
from typing import Literal

__all__ = ["Column", "Kind"]

Kind = Literal["numeric", "categorical"]


@dataclass(frozen=True)
class Column:
    """One column. Categories come as codes: position in `categories`, its length for an unseen one, NaN for missing."""

    name: str
    kind: Kind
    categories: tuple[str, ...] = ()
