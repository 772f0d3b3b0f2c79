"""Values of columns that a database has no type of its own for."""

from typing import Any

from sqlalchemy import Dialect, Text
from sqlalchemy.types import TypeDecorator

from mlops_ray.store.canonical import canonical, decoded

__all__ = ["Json", "Names"]


class Json(TypeDecorator[Any]):
    """A JSON value as canonical text, the same in every database."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, _dialect: Dialect) -> str:
        """Called by SQLAlchemy when a value goes in."""
        return canonical(value)

    def process_result_value(self, value: str | None, _dialect: Dialect) -> Any:
        """Called by SQLAlchemy when a value comes out."""
        return decoded(value or "null")


class Names(Json):
    """A tuple of strings, as a JSON list."""

    cache_ok = True

    def process_result_value(self, value: str | None, _dialect: Dialect) -> tuple[str, ...]:
        """Called by SQLAlchemy when a value comes out."""
        return tuple(decoded(value or "[]"))
