"""Row rules: which rows of a raw table are fit to use, and why the others are not; pure, vectorised."""

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mlops_ray.data.column import Column, arrow_schema
from mlops_ray.data.conversion import Converted, accepts, convert, expected_types
from mlops_ray.errors import SchemaError
from mlops_ray.spec import FeatureRule, Severity

__all__ = ["Broken", "CheckedRows", "ForeignValues", "check_patterns", "check_rows", "check_schema"]

Mask = npt.NDArray[np.bool_]
_EXAMPLES = 5
_LOOKED_AT = 50  # wrong values of a table that examples are chosen from
_EXAMPLE_LENGTH = 60


@dataclass(frozen=True)
class Broken:
    """How often a rule was broken, with up to five of the values that did."""

    rows: int = 0
    examples: tuple[str, ...] = ()

    def merge(self, other: "Broken") -> "Broken":
        """Both together; associative and commutative, because which examples are kept depends on them alone."""
        return Broken(self.rows + other.rows, _chosen((*self.examples, *other.examples)))


@dataclass(frozen=True)
class ForeignValues:
    """What a column's values have to be among."""

    column: str
    name: str  # of the other dataset's version and column, for people
    values: pa.Array  # distinct, of the column's type in the table
    severity: Severity


@dataclass(frozen=True)
class CheckedRows:
    """A raw table, parted."""

    good: pa.Table  # in the schema of the dataset's table
    bad: pa.Table  # columns as found, `_reason` ("; " between several) and `_source`
    reasons: Mapping[str, int]  # "column: what is wrong" -> rows; a row with two faults counts twice
    nulls: Mapping[str, int]  # column -> rows that are null there, good or bad
    broken: Mapping[str, Broken] = field(default_factory=dict)  # by "column.rule", those too that only warn


class _Problem(NamedTuple):
    """Rows in which a column breaks a rule."""

    column: str
    rule: str
    what: str
    severity: Severity
    mask: Mask

    @property
    def reason(self) -> str:
        return f"{self.column}: {self.what}"


def check_patterns(columns: Iterable[Column]) -> None:
    """Check that the engine that will look for the patterns understands them.

    Raises:
        SchemaError: it names the feature.
    """
    for column in columns:
        if column.regex is not None:
            try:
                pc.match_substring_regex(pa.array([""]), column.regex)
            except pa.ArrowInvalid as error:
                raise SchemaError(
                    f"feature {column.name!r}: expected a regex that RE2 knows, found {column.regex!r}: {error}"
                ) from None


def check_schema(schema: pa.Schema, columns: Sequence[Column], *, uri: str) -> None:
    """Check that a file has every column of the spec in a usable type; columns beyond those are fine.

    Raises:
        SchemaError: it names file, column, what was expected and what was found.
    """
    for column in columns:
        places = schema.get_all_field_indices(column.name)
        if len(places) != 1:
            found = f"{len(places)} of that name" if places else f"only {', '.join(schema.names) or 'no columns'}"
            raise SchemaError(f"{uri}: expected one column {column.name!r}, found {found}")
        found_type = schema.field(places[0]).type
        if not accepts(column.kind, found_type):
            raise SchemaError(
                f"{uri}: column {column.name!r}: expected {expected_types(column.kind)}, found {found_type}; "
                "write the file with that type, or change the type in the spec"
            )


def check_rows(
    table: pa.Table, columns: Sequence[Column], *, source: str, foreign: Sequence[ForeignValues] = ()
) -> CheckedRows:
    """Part the rows of a table whose schema passed `check_schema`.

    Args:
        table: rows as found in the file.
        columns: of the dataset's table.
        source: URI of the file, for the quarantine.
        foreign: values that columns have to be among.
    """
    arrays: list[pa.Array] = []
    problems: list[_Problem] = []
    nulls: dict[str, int] = {}
    broken: dict[str, Broken] = {}
    for column in columns:
        values = _one_array(table.column(column.name))
        nulls[column.name] = values.null_count
        converted = convert(values, column.kind)
        arrays.append(converted.values)
        for problem in _problems(values, converted, column, foreign):
            problems.append(problem)
            name = f"{column.name}.{problem.rule}"
            broken[name] = broken.get(name, Broken()).merge(_broken(values, problem.mask))
    checked = pa.Table.from_arrays(arrays, schema=arrow_schema(tuple(columns)))
    bad = [problem for problem in problems if problem.severity != "warn"]
    wrong = np.logical_or.reduce([p.mask for p in bad]) if bad else np.zeros(table.num_rows, dtype=bool)
    return CheckedRows(
        good=checked.filter(pa.array(~wrong)) if bad else checked,
        bad=_quarantined(table, bad, wrong, source),
        reasons={problem.reason: int(problem.mask.sum()) for problem in bad},
        nulls=nulls,
        broken=broken,
    )


def _one_array(chunks: pa.ChunkedArray) -> pa.Array:
    array = chunks.combine_chunks()
    if isinstance(array, pa.ChunkedArray):  # several dictionaries, or no chunk at all
        array = pa.concat_arrays(array.unify_dictionaries().chunks) if array.num_chunks else pa.nulls(0, array.type)
    return array


def _problems(
    values: pa.Array, converted: Converted, column: Column, foreign: Sequence[ForeignValues]
) -> Iterator[_Problem]:
    def found(rule: FeatureRule, what: str, mask: Mask) -> _Problem:
        return _Problem(column.name, rule, what, column.severity_of(rule), mask)

    if not column.nullable and values.null_count:
        yield found("null", "null", values.is_null().to_numpy(zero_copy_only=False))
    yield from (found("type", what, mask) for what, mask in converted.problems)
    for rule, what, wrong in _wrong(converted.values, column):
        yield from (found(rule, *problem) for problem in _rows(what, wrong))
    for other in foreign:
        if other.column == column.name:
            wrong = pc.and_(pc.invert(pc.is_in(converted.values, other.values)), converted.values.is_valid())
            for what, mask in _rows(f"not in {other.name}", wrong):
                yield _Problem(column.name, "foreign_key", what, other.severity, mask)


def _wrong(good: pa.Array, column: Column) -> Iterator[tuple[FeatureRule, str, pa.Array]]:
    if column.min is not None or column.max is not None:
        yield from _outside(good, column)
    if column.categories is not None or column.regex is not None:
        yield from _unknown(good, column)


def _outside(numbers: pa.Array, column: Column) -> Iterator[tuple[FeatureRule, str, pa.Array]]:
    found = pc.min_max(numbers)  # in one pass; most often there is nothing to look for
    lowest, highest = found["min"].as_py(), found["max"].as_py()
    if lowest is None:
        return
    if column.min is not None and lowest < column.min:
        yield "min", f"below min {column.min:g}", pc.less(numbers, column.min)
    if column.max is not None and highest > column.max:
        yield "max", f"above max {column.max:g}", pc.greater(numbers, column.max)


def _unknown(texts: pa.Array, column: Column) -> Iterator[tuple[FeatureRule, str, pa.Array]]:
    """Each distinct text is looked at once."""
    encoded = texts.dictionary_encode()
    if column.categories is not None:
        wrong = pc.invert(pc.is_in(encoded.dictionary, pa.array(column.categories, pa.string())))
        if pc.any(wrong).as_py():
            yield "categories", "not in categories", pc.take(wrong, encoded.indices)
    if column.regex is not None:
        wrong = pc.invert(pc.match_substring_regex(encoded.dictionary, column.regex))
        if pc.any(wrong).as_py():
            yield "regex", f"does not match {column.regex}", pc.take(wrong, encoded.indices)


def _broken(values: pa.Array, mask: Mask) -> Broken:
    places = np.flatnonzero(mask)
    found = values.take(pa.array(places[:_LOOKED_AT])).to_pylist()
    return Broken(len(places), _chosen(str(value)[:_EXAMPLE_LENGTH] for value in found if value is not None))


def _chosen(examples: Iterable[str]) -> tuple[str, ...]:
    """A few, any of them, but always the same ones of the same values."""
    return tuple(
        sorted(set(examples), key=lambda text: (zlib.crc32(text.encode("utf-8", "replace")), text))[:_EXAMPLES]
    )


def _rows(what: str, wrong: pa.Array) -> Iterator[tuple[str, Mask]]:
    if pc.any(wrong).as_py():
        yield what, pc.fill_null(wrong, False).to_numpy(zero_copy_only=False)


def _quarantined(table: pa.Table, problems: Sequence[_Problem], wrong: Mask, source: str) -> pa.Table:
    own = table.drop_columns([name for name in ("_reason", "_source") if name in table.column_names])
    bad = own.filter(pa.array(wrong))
    texts = [pc.if_else(pa.array(p.mask[wrong]), p.reason, pa.scalar(None, pa.string())) for p in problems]
    reasons = pc.binary_join_element_wise(*texts, "; ", null_handling="skip") if texts else pa.array([], pa.string())
    return bad.append_column("_reason", reasons).append_column(
        "_source", pa.array([source] * bad.num_rows, pa.string())
    )
