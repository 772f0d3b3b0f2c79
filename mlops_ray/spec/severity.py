"""What happens when a rule about the data is broken."""

from collections.abc import Mapping
from typing import Any, Literal, get_args

__all__ = ["BATCH_RULES", "FEATURE_RULES", "BatchRule", "FeatureRule", "Severity", "check_severities", "for_rules"]

Severity = Literal["warn", "quarantine", "block"]
"""warn: told in the report, the row stays. quarantine: the row is put aside. block: the whole batch is refused."""

FeatureRule = Literal["type", "null", "null_share", "min", "max", "categories", "regex"]
BatchRule = Literal[
    "min_rows",
    "max_quarantined_share",
    "unique",
    "row_change",
    "max_age_s",
    "distribution",
    "max_duplicate_share",
    "max_leakage",
    "max_holdout_overlap",
]
# A value that is none of its type cannot be kept; that null may be kept is what max_null_share says.
FEATURE_RULES: Mapping[str, tuple[Severity, ...]] = {
    "type": ("quarantine", "block"),
    "null": ("quarantine", "block"),
    "null_share": ("warn", "block"),
    "min": ("warn", "quarantine", "block"),
    "max": ("warn", "quarantine", "block"),
    "categories": ("warn", "quarantine", "block"),
    "regex": ("warn", "quarantine", "block"),
}
"""Severities that each rule about a feature may have; the default of all but null_share is quarantine."""
BATCH_RULES: Mapping[str, tuple[Severity, ...]] = {rule: ("warn", "block") for rule in get_args(BatchRule)}
"""Severities that each rule about a whole batch may have: there is no row to put aside."""


def for_rules(value: Any, rules: Mapping[str, tuple[Severity, ...]]) -> Any:
    """The short form, one word, as a mapping: that severity for every rule that may have it.

    Raises:
        ValueError: a word that is no severity, or that no rule here may have.
    """
    if value is None or isinstance(value, Mapping):
        return value
    chosen = {rule: value for rule, allowed in rules.items() if value in allowed}
    if not chosen:
        words = dict.fromkeys(word for allowed in rules.values() for word in allowed)
        raise ValueError(f"expected {' or '.join(words)}, or a mapping from rules to them, found {value!r}")
    return chosen


def check_severities(severity: Mapping[Any, Severity], rules: Mapping[str, tuple[Severity, ...]]) -> None:
    """Refuse a severity that a rule cannot have.

    Raises:
        ValueError: it names rule and severity.
    """
    for rule, found in severity.items():
        if found not in rules[rule]:
            raise ValueError(f"severity of {rule} can be {' or '.join(rules[rule])}, found {found}")
