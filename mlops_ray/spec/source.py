"""How raw rows are read: the format of files, a query to a SQL database, events that tell of new files."""

import codecs
import re
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from mlops_ray.spec.section import Section

__all__ = ["Csv", "Events", "FileFormat", "Sql", "is_sql", "literal_secret", "secrets_in"]

FileFormat = Literal["parquet", "csv", "jsonl"]

_TABLE = r"^[A-Za-z_][A-Za-z0-9_$]*(\.[A-Za-z_][A-Za-z0-9_$]*){0,2}$"
_FROM_ENVIRONMENT = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}")
_SECRET_KEYS = ("password", "passwd", "token", "secret", "credential")


def is_sql(source: str) -> bool:
    """Whether a source is a SQL database; else it is a folder, file:///folder or s3://bucket/prefix.

    >>> [is_sql(source) for source in ("data/raw", "s3://bucket/raw", "postgresql+psycopg://me@host/db")]
    [False, False, True]
    """
    scheme, separator, _ = source.partition("://")
    return bool(separator) and scheme not in ("s3", "file")


def literal_secret(url: str) -> bool:
    """Whether a URL has a password or token written out, and not as `${NAME}` of the environment.

    >>> literal_secret("postgresql://me:pw@host/db"), literal_secret("postgresql://me:${PW}@host/db")
    (True, False)
    """
    parts = urlsplit(url)
    secrets = (parts.password, *secrets_in(parts.query))
    return any(value and not _FROM_ENVIRONMENT.fullmatch(value) for value in secrets)


def secrets_in(query: str) -> tuple[str, ...]:
    """The passwords and tokens in the query of a URL, as they are written there.

    >>> secrets_in("warehouse=main&token=a%20b&credential=me:pw")
    ('a%20b', 'me:pw')
    """
    pairs = (pair.partition("=") for pair in query.split("&"))
    return tuple(value for key, _, value in pairs if value and any(word in key.lower() for word in _SECRET_KEYS))


class Csv(Section):
    """How CSV files are written."""

    delimiter: str = Field(",", min_length=1, max_length=1, description="character between two values of a row")
    header: bool = Field(True, description="whether the first row names the columns; else `columns` does")
    columns: tuple[str, ...] = Field((), description="names of the columns, in order, of files without a header")
    nulls: tuple[str, ...] = Field(("",), description="what stands for null, in every column, quoted or not")
    encoding: str = Field("utf-8", description="of the text, by a name that Python knows")

    @field_validator("delimiter")
    @classmethod
    def _one_byte(cls, value: str) -> str:
        if not value.isascii() or value in '"\r\n':
            raise ValueError(
                f"delimiter must be one ASCII character, not a quote or the end of a line, found {value!r}"
            )
        return value

    @field_validator("encoding")
    @classmethod
    def _known(cls, value: str) -> str:
        try:
            codecs.lookup(value)
        except (LookupError, ValueError):
            raise ValueError(f"encoding must be one that Python knows (utf-8, latin-1, …), found {value!r}") from None
        return value

    @model_validator(mode="after")
    def _columns_without_header(self) -> Self:
        if self.header == bool(self.columns):
            raise ValueError("columns are for files without a header, and needed there: set header: false and columns")
        return self


class Sql(Section):
    """Which rows of a SQL database."""

    query: str | None = Field(None, min_length=1, description="a SELECT; or name a table")
    table: str | None = Field(None, pattern=_TABLE, description="table or view, also schema.table")
    cursor: str | None = Field(
        None, min_length=1, description="column that only grows: a batch is the rows above the largest one consumed"
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.query is None) == (self.table is None):
            raise ValueError("expected either query or table")
        return self

    @property
    def select(self) -> str:
        """The SELECT that gives the rows, on one line and without a semicolon at its end."""
        text = self.query if self.query is not None else f"SELECT * FROM {self.table}"
        return text.strip().rstrip(";").strip()


class Events(Section):
    """Where an S3 bucket's events arrive; they only wake `mlops-ray watch` up."""

    queue: str = Field(pattern=r"^https?://", description="URL of the SQS queue")
