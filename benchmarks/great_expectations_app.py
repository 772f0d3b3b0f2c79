"""The same rules in Great Expectations, in an environment of its own, with nothing of this package imported.

Reads folders, one a line, and answers each with a line of JSON once its files are read and validated.
"""

import json
import sys
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


def main() -> None:
    """Read the files of each folder into one DataFrame, validate it, and print what came of it as JSON."""
    import great_expectations as gx  # only in its own environment
    import pandas as pd

    answers, sys.stdout = sys.stdout, sys.stderr  # whatever else is printed is no answer
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    asset = context.data_sources.add_pandas("rows").add_dataframe_asset("rows")
    definition = asset.add_batch_definition_whole_dataframe("rows")
    for folder in map(str.strip, sys.stdin):
        files = sorted(Path(folder).glob("*.parquet"))
        rows = pd.concat([pd.read_parquet(file) for file in files], ignore_index=True)
        kinds = {name: "plan" if name.startswith("plan") else str(rows[name].dtype) for name in rows.columns}
        suite = gx.ExpectationSuite(name="rules", expectations=_expectations(kinds))
        result = definition.get_batch(batch_parameters={"dataframe": rows}).validate(suite)
        broken = [r.expectation_config.type for r in result.results if not r.success]
        print(json.dumps({"rows": len(rows), "broken": broken}), file=answers, flush=True)


if __name__ == "__main__":
    main()
