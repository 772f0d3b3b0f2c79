"""The rows that validation is measured on, and ten kinds of rules for their thirty columns."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

__all__ = ["FEATURES", "PLANS", "validation_spec", "write_rows"]

PLANS = ("basic", "plus", "pro", "team")
FEATURES: Mapping[str, Mapping[str, Any]] = {
    **{f"float_{i}": {"type": "float", "min": -50, "max": 50} for i in range(18)},
    **{f"int_{i}": {"type": "int", "min": 0, "max": 1000} for i in range(5)},
    **{f"plan_{i}": {"type": "category", "categories": list(PLANS), "regex": "^[a-z]+$"} for i in range(5)},
}
_FILE_ROWS = 500_000
_GROUP_ROWS = 100_000


def write_rows(folder: Path, rows: int, *, seed: int) -> None:
    """Write Parquet files of `rows` rows: a number that is theirs alone, 28 features and a label."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    for number, first in enumerate(range(0, rows, _FILE_ROWS)):
        count = min(_FILE_ROWS, rows - first)
        columns: dict[str, Any] = {"id": pa.array(range(first, first + count), pa.int64())}
        for name, feature in FEATURES.items():
            if feature["type"] == "float":
                columns[name] = rng.normal(size=count)
            elif feature["type"] == "int":
                columns[name] = rng.integers(0, 1001, count)
            else:
                columns[name] = pa.array(PLANS).take(pa.array(rng.integers(0, len(PLANS), count)))
        columns["label"] = rng.integers(0, 2, count)
        pq.write_table(pa.table(columns), folder / f"{number:05}.parquet", row_group_size=_GROUP_ROWS)


def validation_spec(source: Path) -> dict[str, Any]:
    """The spec: schema, type, null, null share, range, set, regex, row count, duplicates and leakage, and statistics.

    What Great Expectations is asked for is the same but for the last two, for which it checks means and deviations.
    """
    checks = {"min_rows": 1, "max_duplicate_share": 0.01, "max_leakage": 0.99}
    features = {"id": {"type": "int", "min": 0}, **FEATURES}
    data = {"source": str(source), "label": "label", "features": features, "checks": checks}
    return {"name": "validated", "data": data}
