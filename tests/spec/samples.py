"""A complete spec as a user writes it; tests change single keys of it."""

import copy
from typing import Any

import yaml

from mlops_ray.errors import SpecError
from mlops_ray.spec import parse_spec

SPEC = """
name: churn
data:
  source: /data/churn
  label: churned
  unit: customer
  timestamp: at
  features:
    tenure: int
    charges: {type: float, min: 0, max: 500, max_null_share: 0.1}
    plan: {type: category, categories: [basic, pro]}
    paperless: bool
  checks: {min_rows: 100, unique: [customer]}
train:
  space:
    learning_rate: {log_uniform: [1e-3, 0.3]}
    num_leaves: {int_uniform: [8, 64]}
    subsample: {uniform: [0.5, 1]}
    boosting: {choice: [gbdt, dart]}
    max_bin: 63
  trials: 4
gates:
  - {metric: auc, min: 0.7, not_worse_by: 0.01}
approval: {required: 1}
serve: {resources: {cpus: 1}, autoscaling: {max_replicas: 2}, batching: {max_rows: 16}}
rollout:
  steps: [{share: 0.1, min_s: 5, max_s: 60}, {share: 0.5}]
monitor: {window: {size_s: 600, every_s: 60}, labels: {decay: {metric: auc, max_drop: 0.05}}}
retrain: {triggers: [drift, decay]}
alerts:
  - type: log
  - {type: webhook, url: "https://hooks.example.com/x"}
"""


def content() -> dict[str, Any]:
    """The spec as plain values, to change."""
    plain = copy.deepcopy(parse_spec(SPEC).model_dump(mode="json", exclude_unset=True))
    assert isinstance(plain, dict)
    return plain


def changed(path: str, value: Any = None, *, drop: bool = False) -> str:
    """The spec as YAML with the key at `path` (`a.b.0.c`) set to `value`, or dropped."""
    whole = content()
    here: Any = whole
    *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    for part in parents:
        here = here[part] if isinstance(part, int) else here.setdefault(part, {})
    if drop:
        del here[last]
    else:
        here[last] = value
    return yaml.safe_dump(whole)


def refusal(text: str) -> list[str]:
    """The lines of the error that `text` is refused with, without their origin."""
    try:
        parse_spec(text, origin="churn.yaml")
    except SpecError as error:
        lines = str(error).split("\n")
        assert all(line.startswith("churn.yaml: ") for line in lines)
        return [line.removeprefix("churn.yaml: ") for line in lines]
    raise AssertionError("the spec was taken")
