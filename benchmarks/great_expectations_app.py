"""The same rules in Great Expectations, in an environment of its own: `python great_expectations_app.py FOLDER`.

Prints the seconds that reading and validating took, with nothing of this package imported.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

__all__ = ["GREAT_EXPECTATIONS", "main"]

GREAT_EXPECTATIONS = Path(__file__).resolve().parents[1] / ".great-expectations-venv" / "bin" / "python"
"""The interpreter that has it."""


def _expectations(columns: dict[str, str]) -> list[Any]:
    import great_expectations.expectations as gxe  # only here: the other side of this module imports it without

    found: list[Any] = [gxe.ExpectTableRowCountToBeBetween(min_value=1)]
    for name, kind in columns.items():
        found.append(gxe.ExpectColumnToExist(column=name))
        found.append(gxe.ExpectColumnValuesToNotBeNull(column=name))
        found.append(gxe.ExpectColumnValuesToBeOfType(column=name, type_="str" if kind == "plan" else kind))
        if kind == "plan":
            found.append(gxe.ExpectColumnValuesToBeInSet(column=name, value_set=["basic", "plus", "pro", "team"]))
            found.append(gxe.ExpectColumnValuesToMatchRegex(column=name, regex="^[a-z]+$"))
        else:
            low, high = (-50, 50) if kind == "float64" else (0, None if name == "id" else 1000)
            found.append(gxe.ExpectColumnValuesToBeBetween(column=name, min_value=low, max_value=high))
            found.append(gxe.ExpectColumnMeanToBeBetween(column=name, min_value=-(10**9), max_value=10**9))
            found.append(gxe.ExpectColumnStdevToBeBetween(column=name, min_value=0))
    return found


def main(folder: str) -> None:
    """Read the files of a folder into one DataFrame, validate it, and print what it took as JSON."""
    import great_expectations as gx  # only in its own environment
    import pandas as pd

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    asset = context.data_sources.add_pandas("rows").add_dataframe_asset("rows")
    definition = asset.add_batch_definition_whole_dataframe("rows")
    began_s = time.perf_counter()
    rows = pd.concat([pd.read_parquet(file) for file in sorted(Path(folder).glob("*.parquet"))], ignore_index=True)
    read_s = time.perf_counter() - began_s
    kinds = {name: "plan" if name.startswith("plan") else str(rows[name].dtype) for name in rows.columns}
    suite = gx.ExpectationSuite(name="rules", expectations=_expectations(kinds))
    result = definition.get_batch(batch_parameters={"dataframe": rows}).validate(suite)
    whole_s = time.perf_counter() - began_s
    broken = [r.expectation_config.type for r in result.results if not r.success]
    print(json.dumps({"rows": len(rows), "read_s": read_s, "seconds": whole_s, "broken": broken}))


if __name__ == "__main__":
    main(sys.argv[1])
