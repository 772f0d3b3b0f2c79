"""Names of the tables that hold a window of another one, and the way back from them. Pure."""

import re

__all__ = ["base_of", "version_number", "window_table"]


def window_table(table: str, number: int, id: str) -> str:
    """The table of a window of version `number`; `id` is hexadecimal.

    >>> window_table("mlops.churn", 3, "ab12")
    'mlops.churn_w3_ab12'
    """
    return f"{table}_w{number}_{id}"


def base_of(ref: str, table: str) -> str:
    """The version of `table` that a dataset version is a window of; itself if it is none.

    >>> base_of("mlops.churn_w3_ab12@v1", "mlops.churn"), base_of("mlops.churn@v4", "mlops.churn")
    ('mlops.churn@v3', 'mlops.churn@v4')
    """
    found = re.fullmatch(rf"{re.escape(table)}_w(\d+)_[0-9a-f]+@v\d+", ref)
    return f"{table}@v{found[1]}" if found else ref


def version_number(ref: str, table: str) -> int | None:
    """3 for `mlops.churn@v3` of `mlops.churn`, and for a window of it; None for what is no numbered version of it.

    >>> version_number("mlops.churn_w3_ab12@v1", "mlops.churn"), version_number("mlops.other@v3", "mlops.churn")
    (3, None)
    """
    name, _, number = base_of(ref, table).partition("@v")
    return int(number) if name == table and number.isdigit() else None
