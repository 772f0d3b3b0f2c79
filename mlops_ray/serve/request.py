"""Plain JSON records to a matrix: decoded and checked by types made from the model's signature."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from mlops_ray.errors import RequestError
from mlops_ray.model import InputColumn, Signature
from mlops_ray.serve.picture_rows import picture_rows
from mlops_ray.serve.request_rules import RequestRules, strict_type
from mlops_ray.serve.seen_pictures import SeenPictures
from mlops_ray.serve.unseen_counts import Unseen, counted

__all__ = ["IDENTITY_LENGTH", "LARGEST_INTEGER", "LONGEST_TEXT", "Rows", "RowsDecoder", "converted", "decoded"]

IDENTITY_LENGTH = 256
"""Characters in a request id or a unit, at most: they are kept with every record."""

LONGEST_TEXT = 4096
"""Characters in a category, at most."""
# An int column is kept as int64.
_Integer = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
# what a float64 matrix holds without loss
LARGEST_INTEGER = 2**53
_Exact = Annotated[int, msgspec.Meta(ge=-LARGEST_INTEGER, le=LARGEST_INTEGER)]
_Identity = Annotated[str, msgspec.Meta(max_length=IDENTITY_LENGTH)]
_A_FLOAT = "got `float`"
# Such a body is read three times, in Python.
_LENIENT_BYTES = 2**20


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Rows:
    """One decoded request: `matrix` is (n, d) float64, encoded as the signature says."""

    matrix: NDArray[np.float64]
    request_id: str | None
    unit: str | None
    warnings: tuple[str, ...] = ()
    """Values that break rules of the spec."""
    seen: SeenPictures | None = None
    """What the records keep where the rows are pictures."""
    unseen: Unseen = ()
    """Categories that the signature does not know."""


class RowsDecoder:
    """Decodes `{"records": [{...}], "unit": ..., "request_id": ...}` for one signature."""

    def __init__(self, signature: Signature, *, max_rows: int, rules: RequestRules | None = None) -> None:
        self._columns = signature.inputs
        self._image = signature.image
        self._unit = signature.unit
        self._max_rows = max_rows
        self._decoder = _decoder_of(signature, strict=False)
        self._rules = rules if rules is not None and rules.wanted else None
        self._strict = _decoder_of(signature, strict=True) if self._rules is not None else None
        self._others: list[tuple[str, str]] = []  # of the request that is being decoded
        self._coded = tuple((i, _Codes(c, self._others)) for i, c in enumerate(self._columns) if c.type == "category")
        self._width = len(self._columns)

    def decode(self, body: bytes) -> Rows:
        """The rows of a request body.

        Raises:
            RequestError: 400 for what is no JSON, 422 with the path of the field for a missing, extra or mistyped one,
                413 for more rows than allowed.
        """
        warnings: tuple[str, ...] = ()
        request = self._kept(body)
        if request is None:
            request = decoded(self._decoder, body)
            if self._rules is not None:
                rows = (msgspec.structs.astuple(record)[: self._width] for record in request.records[: self._max_rows])
                warnings = self._rules.of_records(rows)
        records = request.records
        if not records:
            raise RequestError("expected at least one record, found an empty list", "$.records")
        if len(records) > self._max_rows:
            why = "serve.max_rows" if self._image is None else "serve.max_rows, serve.max_body_bytes"
            raise RequestError(
                f"expected at most {self._max_rows} records ({why}), found {len(records)}", "$.records", 413
            )
        unit = request.unit if request.unit is not None else self._unit_of(records[0])
        matrix = self._matrix(records)
        unseen = self._taken() if self._others else ()
        return Rows(matrix, request.request_id, None if unit is None else str(unit), warnings, unseen=unseen)

    def _kept(self, body: bytes) -> Any:
        """The request when all of it keeps the rules, which the decoder looks at on its way; else None."""
        if self._strict is None:
            return None
        try:
            return self._strict.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None

    def _unit_of(self, record: Any) -> Any:
        return record.unit if self._unit is not None else None

    def _taken(self) -> Unseen:
        unseen = counted(self._others)
        self._others.clear()
        return unseen

    def _matrix(self, records: Sequence[Any]) -> NDArray[np.float64]:
        if self._image is not None:
            name = self._image.name
            return picture_rows(self._image, [record.f0 for record in records], lambda row: f"$.records[{row}].{name}")
        rows = [list(msgspec.structs.astuple(record)[: self._width]) for record in records]
        for position, codes in self._coded:
            for row in rows:
                row[position] = codes[row[position]]
        # None becomes NaN: exactly how the signature encodes a missing value.
        return np.array(rows, dtype=np.float64)


def decoded(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """What the JSON in `body` says.

    Raises:
        RequestError: 400 for what is no JSON, 422 with the path of a field that is not as expected.
    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        whole = _with_whole_numbers(decoder, body) if _A_FLOAT in str(error) else None
        if whole is not None:
            return whole
        raise _refused(error) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RequestError(
            f"the body is not valid JSON ({error}); NaN and Infinity are no JSON, send null for a missing value",
            status=400,
        ) from None


def converted(content: Any, kind: type[T]) -> T:
    """What a value of plain dicts, lists, texts and numbers says.

    Raises:
        RequestError: 422 with the path of a field that is not as expected.
    """
    try:
        return msgspec.convert(content, kind)
    except msgspec.ValidationError as error:
        raise _refused(error) from None


def _refused(error: msgspec.ValidationError) -> RequestError:
    message, _, path = str(error).rpartition(" - at `") if " - at `" in str(error) else (str(error), "", "")
    return RequestError(message[:1].lower() + message[1:], path.rstrip("`"))


def _with_whole_numbers(decoder: msgspec.json.Decoder[T], body: bytes) -> T | None:
    """What the JSON says when 3.0 is the integer 3, as JSON has it and clients without integers write it."""
    if len(body) > _LENIENT_BYTES:
        return None
    try:
        return msgspec.convert(_whole(msgspec.json.decode(body)), decoder.type)
    except (msgspec.MsgspecError, RecursionError):
        return None  # the first look at it says best what is wrong


def _whole(value: Any) -> Any:
    match value:
        case float() if value.is_integer() and abs(value) <= LARGEST_INTEGER:
            return int(value)
        case list():
            return [_whole(item) for item in value]
        case dict():
            return {key: _whole(item) for key, item in value.items()}
    return value


def _decoder_of(signature: Signature, *, strict: bool) -> msgspec.json.Decoder[Any]:
    row = _row_type(signature, strict=strict)
    body = msgspec.defstruct(
        "Body",
        [
            ("records", list[row]),  # type: ignore[valid-type]
            ("unit", _Identity | _Integer | None, None),
            ("request_id", _Identity | None, None),
        ],
        forbid_unknown_fields=True,
    )
    return msgspec.json.Decoder(body)


def _row_type(signature: Signature, *, strict: bool) -> type[msgspec.Struct]:
    fields: list[Any] = []
    names = {}
    for i, column in enumerate(signature.inputs):
        kind = _python_type(column)
        if strict:
            kind = strict_type(column, kind, longest_integer=LARGEST_INTEGER)
        fields.append((f"f{i}", kind | None, None) if column.nullable else (f"f{i}", kind))
        names[f"f{i}"] = column.name
    if signature.unit is not None:
        fields.append(("unit", _Identity | _Integer | None, None))
        names["unit"] = signature.unit
    return msgspec.defstruct("Row", fields, rename=names, forbid_unknown_fields=True, kw_only=True)


def _python_type(column: InputColumn) -> Any:
    return {"float": float, "int": _Exact, "bool": bool, "image": bytes}.get(
        column.type, Annotated[str, msgspec.Meta(max_length=LONGEST_TEXT)]
    )


class _Codes(dict[Any, float | None]):
    """The codes of a column's categories; any other value goes to `others`, and gets the code of all unseen ones."""

    def __init__(self, column: InputColumn, others: list[tuple[str, str]]) -> None:
        super().__init__({category: float(i) for i, category in enumerate(column.categories)})
        self[None] = None
        self._name, self._others, self._code = column.name, others, float(len(column.categories))

    def __missing__(self, value: str) -> float:
        self._others.append((self._name, value))
        return self._code
