"""The same model in a minute: one trial of few iterations, no gates, on a sample that lies in the repository."""

from collections.abc import Mapping
from typing import Any

import yaml

from mlops_ray.spec import parse_spec

__all__ = ["smoke_spec"]

_ITERATIONS = 20
_TRAIN = {
    "trials": 1,
    "max_concurrent": 1,
    "search": "random",
    "scheduler": "none",
    "workers": 1,
    "resources": {"cpus": 1},
}


def smoke_spec(text: str, *, source: str, origin: str = "spec") -> str:
    """YAML of the spec in `text`, made small; `source` takes the place of its data source.

    The rules of the data stay as they are: whether the sample breaks them is part of what is tried. The seed stays
    too, so that the same code on the same sample makes the same model.

    Raises:
        SpecError: `text` is no spec.
    """
    content = parse_spec(text, origin=origin).model_dump(mode="json", exclude_unset=True)
    train: Mapping[str, Any] = content.get("train", {})
    iterations = min(_ITERATIONS, train.get("max_iterations", _ITERATIONS))
    kept = {key: value for key, value in train.items() if key != "time_budget_s"}
    content["train"] = {**kept, **_TRAIN, "max_iterations": iterations}
    content["data"] = {k: v for k, v in content["data"].items() if k not in ("sql", "events")} | {"source": source}
    content |= {"gates": [], "alerts": [{"type": "log"}], "retrain": {"triggers": []}}
    content.pop("approval", None)
    made = yaml.safe_dump(content, sort_keys=False)
    parse_spec(made, origin="smoke spec")
    return made
