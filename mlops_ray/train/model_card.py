"""The model card: what a person reads before saying yes to a model version; nothing in it depends on when it ran."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlops_ray.data import DatasetVersion
from mlops_ray.evaluation import GateReport
from mlops_ray.model import Signature
from mlops_ray.spec import ModelSpec
from mlops_ray.tracking import CodeVersion

__all__ = ["CardFacts", "model_card"]


@dataclass(frozen=True)
class CardFacts:
    """What a card tells."""

    spec: ModelSpec
    dataset: DatasetVersion
    code: CodeVersion
    signature: Signature
    params: Mapping[str, Any]  # of the winning trial
    trials: int
    rows: Mapping[str, int]  # part -> rows
    report: GateReport
    champion: str | None  # "version 3", when the gates compared with one


def model_card(facts: CardFacts) -> str:
    """Markdown."""
    spec, report = facts.spec, facts.report
    sections = [
        f"# {spec.name}",
        f"Predicts `{spec.data.label}` ({spec.train.task}) from {len(facts.signature.inputs)} columns. "
        f"Gates: **{report.verdict}**.",
        "## Data",
        _data(facts),
        "## Training",
        _training(facts),
        "## Holdout",
        _metrics(facts),
        *[f"- {result.verdict}: {result.message}" for result in report.results],
        "## Inputs",
        _table(("column", "type", "null allowed", "categories"), [_input(c) for c in facts.signature.inputs]),
        "## Limits",
        "The numbers hold for rows like those of the dataset version above. A value never seen in training counts as "
        "unseen, and what it does to a prediction is not known.",
    ]
    return "\n\n".join(sections) + "\n"


def _data(facts: CardFacts) -> str:
    parts = ", ".join(f"{name} {rows:,}" for name, rows in facts.rows.items())
    return (
        f"`{facts.dataset.ref}` (snapshot {facts.dataset.snapshot_id}, digest {facts.dataset.digest[:12]}), "
        f"{facts.dataset.rows:,} rows: {parts}. Held out by {facts.spec.train.holdout.by}."
    )


def _training(facts: CardFacts) -> str:
    code = facts.code.sha[:12] if facts.code.sha else "unknown"
    lines = [
        f"Trainer `{facts.spec.train.trainer}`, best of {facts.trials} trials by validation {facts.spec.train.metric}, "
        f"seed {facts.spec.train.seed}. Code {code}{' with local changes' if facts.code.dirty else ''}, "
        f"packages {facts.code.lock_digest[:12]}, Python {facts.code.python}.",
        _table(("hyperparameter", "value"), [(name, str(value)) for name, value in sorted(facts.params.items())]),
    ]
    return "\n\n".join(lines)


def _metrics(facts: CardFacts) -> str:
    report = facts.report
    if report.champion_metrics is None or facts.champion is None:
        return _table(("metric", "value"), [(name, f"{value:.4f}") for name, value in report.metrics.items()])
    rows = [(name, f"{value:.4f}", f"{report.champion_metrics[name]:.4f}") for name, value in report.metrics.items()]
    return _table(("metric", "this version", f"champion ({facts.champion})"), rows)


def _input(column: Any) -> tuple[str, ...]:
    shown = ", ".join(column.categories[:8]) + (", …" if len(column.categories) > 8 else "")
    return (column.name, column.type, "yes" if column.nullable else "no", shown)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
