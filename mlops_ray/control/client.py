"""A small HTTP client for a served model; the command line and the tests use it."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet
import requests

from mlops_ray.errors import ClusterError, RequestError, SourceError

__all__ = ["ModelClient", "read_labels"]

_TIMEOUT_S = 30.0


class ModelClient:
    """Talks to one model behind Ray Serve; `api_key` is sent where keys are asked for."""

    def __init__(self, url: str, model: str, *, api_key: str | None = None) -> None:
        self._base = f"{url.rstrip('/')}/v2/models/{model}"
        self._headers = {"x-api-key": api_key} if api_key else {}

    def predict(self, records: Sequence[Mapping[str, Any]], *, version: int | None = None) -> dict[str, Any]:
        """The answer of `/predict` to plain records.

        Raises:
            RequestError: the server refuses the request (its own message).
            ClusterError: nobody answers.
        """
        path = "predict" if version is None else f"versions/{version}/predict"
        return self._post(path, {"records": list(records)})

    def explain(self, records: Sequence[Mapping[str, Any]], *, version: int | None = None) -> dict[str, Any]:
        """The answer of `/explain` to plain records; same errors as `predict`."""
        path = "explain" if version is None else f"versions/{version}/explain"
        return self._post(path, {"records": list(records)})

    def send_labels(self, labels: Sequence[Mapping[str, Any]]) -> int:
        """How many outcomes were kept; same errors as `predict`."""
        return int(self._post("labels", {"labels": list(labels)})["kept"])

    def _post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        url = f"{self._base}/{path}"
        try:
            response = requests.post(url, json=body, headers=self._headers, timeout=_TIMEOUT_S)
        except requests.RequestException as error:
            raise ClusterError(
                f"nobody answers at {url} ({type(error).__name__}); is `mlops-ray up` running?"
            ) from error
        try:
            content: dict[str, Any] = response.json()
        except ValueError:
            content = {"error": response.text[:200]}
        if response.status_code != 200:
            message = str(content.get("error", content))
            raise RequestError(message, str(content.get("path", "")), response.status_code)
        return content


def read_labels(file: Path) -> list[dict[str, Any]]:
    """Outcomes from a CSV, JSON lines or Parquet file with request_id, label and maybe row.

    A label is a number, or the name of a class; the server knows which of them the model has.

    Raises:
        SourceError: no such file, another kind of file, or a column is missing.
    """
    table = _read(file)
    missing = [name for name in ("request_id", "label") if name not in table.column_names]
    if missing:
        raise SourceError(f"{file}: expected columns request_id and label, found {', '.join(table.column_names)}")
    names = [name for name in ("request_id", "label", "row") if name in table.column_names]
    try:
        rows_of = {"row": table["row"].cast(pa.float64())} if "row" in names else {}
    except pa.ArrowInvalid as error:
        raise SourceError(f"{file}: expected numbers in row, found something else ({error})") from None
    columns = pa.table(
        {"request_id": table["request_id"].cast(pa.string()), "label": _numbers_or_names(table["label"]), **rows_of}
    )
    empty = [name for name in names if columns[name].null_count]
    if empty:
        raise SourceError(f"{file}: column {empty[0]} has {columns[empty[0]].null_count} empty cells")
    rows: list[dict[str, Any]] = columns.to_pylist()
    return [{**row, "row": int(row["row"])} if "row" in row else row for row in rows]


def _numbers_or_names(labels: pa.ChunkedArray) -> pa.ChunkedArray:
    try:
        return labels.cast(pa.float64())
    except pa.ArrowInvalid:
        names = labels.cast(pa.string())
        return pc.if_else(pc.equal(names, ""), pa.scalar(None, pa.string()), names)  # an empty cell of a CSV


def _read(file: Path) -> pa.Table:
    readers = {
        ".csv": pyarrow.csv.read_csv,
        ".json": pyarrow.json.read_json,
        ".jsonl": pyarrow.json.read_json,
        ".parquet": pyarrow.parquet.read_table,
    }
    reader = readers.get(file.suffix)
    if reader is None:
        raise SourceError(f"{file}: expected a file ending in {', '.join(readers)}")
    try:
        return reader(file)
    except FileNotFoundError:
        raise SourceError(f"{file}: no such file") from None
    except (pa.ArrowInvalid, json.JSONDecodeError) as error:
        raise SourceError(f"{file}: cannot be read: {error}") from None
