"""Every bad spec gives a sentence that names the key, what was expected and what was found."""

from typing import Any

import pytest

from mlops_ray.spec import ModelSpec
from tests.spec.samples import changed, content, refusal

TOP = "alerting, alerts, approval, data, fairness, gates, monitor, name, retrain, rollout, serve, train"
DATA = "checks, classes, csv, events, features, format, label, source, sql, table, timestamp, unit"
KINDS = "choice, int_uniform, log_uniform, uniform"


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("trian", f"unknown key; did you mean 'train'? Valid keys: {TOP}"),
        ("qqq", f"unknown key; valid keys: {TOP}"),
        ("data.featurs", f"unknown key; did you mean 'features'? Valid keys: {DATA}"),
        (
            "data.features.tenure.categorys",
            "unknown key; did you mean 'categories'? Valid keys: categories, channels, height, max, "
            "max_null_share, min, regex, severity, type, width",
        ),
        (
            "data.checks.min_row",
            "unknown key; did you mean 'min_rows'? Valid keys: distribution, foreign_keys, max_age_s, "
            "max_duplicate_share, max_holdout_overlap, max_leakage, max_quarantined_share, min_rows, row_change, "
            "severity, unique, unique_in",
        ),
        ("train.holdout.fractoin", "unknown key; did you mean 'fraction'? Valid keys: by, fraction"),
        ("train.space.num_leaves.step", "unknown key; valid keys: int_uniform, when"),
        ("serve.resources.cpu", "unknown key; did you mean 'cpus'? Valid keys: cpus, gpus"),
        (
            "rollout.steps.0.shar",
            "unknown key; did you mean 'share'? Valid keys: max_s, min_requests, min_s, mirror, share",
        ),
        (
            "monitor.labels.decay.drop",
            "unknown key; did you mean 'max_drop'? Valid keys: level, max_drop, metric, min_labels",
        ),
        ("alerts.0.url", "unknown key; valid keys: kinds, min_severity, name, resolved, type"),
        (
            "alerts.1.timeout",
            "unknown key; did you mean 'timeout_s'? Valid keys: kinds, min_severity, name, resolved, timeout_s, type, "
            "url",
        ),
        ("gates.0.metrics", "unknown key; did you mean 'metric'? Valid keys: max, metric, min, not_worse_by, on"),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest_and_all_valid_ones(path: str, sentence: str) -> None:
    written = path.replace(".0", "[0]").replace(".1", "[1]")
    features = {"tenure": {"type": "int", "categorys": 1}} if "tenure" in path else None
    text = changed("data.features", features) if features else changed(path, 1)
    assert f"{written}: {sentence}" in refusal(text)


@pytest.mark.parametrize(
    "path", ["name", "data", "data.source", "data.label", "data.features", "rollout.steps.0.share"]
)
def test_a_required_key_that_is_missing_is_named(path: str) -> None:
    assert refusal(changed(path, drop=True)) == [f"{path.replace('.0', '[0]')}: this key is required and was not found"]


def test_a_misspelt_required_key_is_told_once() -> None:
    text = changed("data.lable", "churned").replace("  label: churned\n", "")
    assert refusal(text) == [f"data.lable: unknown key; did you mean 'label'? Valid keys: {DATA}"]


def test_a_missing_key_is_nearer_than_one_that_is_there() -> None:
    text = changed("monitor.labels.decay", {"max_dorp": 0.1, "max_drap": 0.1, "metric": "auc"})
    assert all("did you mean 'max_drop'?" in line for line in refusal(text))


def test_two_missing_keys_and_one_misspelt_are_two_mistakes() -> None:
    text = changed("data.lable", "x").replace("  label: churned\n", "").replace("  source: /data/churn\n", "")
    assert [line.split(":")[0] for line in refusal(text)] == ["data.source", "data.lable"]


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        ("name", "Bad Name", ": string should match pattern '^[a-z][a-z0-9_]{0,62}$', found 'Bad Name' (str)"),
        ("name", 5, ": expected a valid string, found 5 (int); put text in quotes"),
        ("data", None, ": expected a mapping, found nothing"),
        ("data", [1], ": expected a mapping, found [1] (list)"),
        ("data.features", {}, ": expected 1 or more items, found {} (dict)"),
        (
            "data.features.tenure",
            "flot",
            ": expected 'float', 'int', 'bool', 'category' or 'image', found 'flot' (str)",
        ),
        (
            "data.features.tenure",
            {"type": "int", "min": "a"},
            ".min: expected a valid number, unable to parse string as a number, found 'a' (str)",
        ),
        (
            "data.features.plan",
            {"type": "category", "categories": [True]},
            ".categories[0]: expected a valid string, found True (bool); put text in quotes",
        ),
        (
            "data.features.type",
            {"type": "int", "max_null_share": 2},
            ".max_null_share: expected less than or equal to 1, found 2 (int)",
        ),
        ("data.source", "", ": string should have at least 1 character, found '' (str)"),
        ("train.trials", 0, ": expected greater than or equal to 1, found 0 (int)"),
        (
            "train.trials",
            "many",
            ": expected a valid integer, unable to parse string as an integer, found 'many' (str)",
        ),
        ("train.search", "bayes", ": expected 'optuna', 'random' or 'grid', found 'bayes' (str)"),
        ("train.seed", -1, ": expected greater than or equal to 0, found -1 (int)"),
        ("train.holdout.fraction", float("nan"), ": expected a finite number, found nan (float)"),
        ("rollout.steps", [], ": expected 1 or more items, found [] (list)"),
        ("rollout.steps", {"share": 1}, ": expected a list, found {'share': 1} (dict)"),
        ("rollout.steps", [{"share": 2}], "[0].share: expected less than or equal to 1, found 2 (int)"),
        ("monitor.thresholds.persist", [3], "[1]: this item is required and was not found"),
        ("alerts", ["log"], "[0]: expected a mapping, found 'log' (str)"),
        (
            "alerts",
            [{"type": "mail"}],
            "[0]: expected type to be one of 'log', 'webhook', 'slack', 'pagerduty', 'email', 'alertmanager', found "
            "{'type': 'mail'} (dict)",
        ),
        ("alerts", [{"url": "x"}], "[0]: expected a mapping with the key 'type', found {'url': 'x'} (dict)"),
        ("alerts.1.url", "ftp://x", ": expected a URL of http:// or https://, or ${NAME}, found something else"),
    ],
)
def test_a_wrong_type_or_range_says_what_was_expected_and_found(path: str, value: Any, sentence: str) -> None:
    assert refusal(changed(path, value)) == [path.replace(".1", "[1]") + sentence]


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ({"unifrom": [0, 1]}, f"x.unifrom: unknown key; did you mean 'uniform'? Valid keys: {KINDS}, when"),
        ({"gaussian": [0, 1]}, f"x.gaussian: unknown key; valid keys: {KINDS}, when"),
        ({}, f"x: expected one of the keys {KINDS}, found {{}} (dict)"),
        ({"choice": []}, "x.choice: expected 1 or more items, found [] (list)"),
        ({"choice": 3}, "x.choice: expected a list, found 3 (int)"),
        ({"log_uniform": [0, 1]}, "x.log_uniform[0]: expected greater than 0, found 0 (int)"),
        ({"uniform": [0]}, "x.uniform[1]: this item is required and was not found"),
        (None, "x: expected a valid number or a valid integer or a valid string or a valid boolean, found nothing"),
    ],
)
def test_a_wrong_search_dimension_is_told_with_the_path_the_user_wrote(value: Any, sentence: str) -> None:
    assert refusal(changed("train.space.x", value)) == [f"train.space.{sentence}"]


def test_what_only_follows_from_another_mistake_is_not_told() -> None:
    (line,) = refusal(changed("train.space.x", {"choice": [[1]]}))
    assert line.startswith("train.space.x.choice[0]: expected a valid number or ")


@pytest.mark.parametrize(
    ("path", "value", "parts"),
    [
        ("data.features.plan", {"type": "category", "min": 1}, ["data.features.plan", "float and int", "category"]),
        ("data.features.tenure", {"type": "int", "categories": ["a"]}, ["data.features.tenure", "category", "not int"]),
        ("data.features.tenure", {"type": "int", "min": 2, "max": 1}, ["data.features.tenure", "min (2)", "max (1)"]),
        ("data.features.churned", "int", ["data", "'churned'", "label", "feature"]),
        ("train.metric", "rmse", ["train", "'rmse'", "'binary'", "auc, log_loss"]),
        ("train.mode", "min", ["train", "mode 'min'", "auc"]),
        ("gates.0", {"metric": "auc"}, ["gates[0]", "min, max or not_worse_by"]),
        ("gates.0.metric", "rmse", ["gates[0].metric", "'rmse'", "'binary'", "auc"]),
        ("serve.autoscaling", {"min_replicas": 3, "max_replicas": 2}, ["serve.autoscaling", "(3)", "(2)"]),
        ("serve.canary_deadline_ms", 2000, ["serve", "canary_deadline_ms (2000)", "deadline_ms (1000)"]),
        ("rollout.steps", [{"share": 0.5}, {"share": 0.1}], ["rollout", "must grow", "[0.5, 0.1]"]),
        ("rollout.steps", [{"share": 0.5, "min_s": 9, "max_s": 3}], ["rollout.steps[0]", "max_s (3)", "min_s (9)"]),
        ("rollout.analysis", {"max_ratio": 1.1, "tolerated_ratio": 1.2}, ["rollout.analysis", "(1.1)", "(1.2)"]),
        ("monitor.thresholds", {"persist": [3, 2]}, ["monitor.thresholds", "1 <= k <= m", "(3, 2)"]),
        ("monitor.window", {"size_s": 1, "every_s": 2}, ["monitor.window", "every_s (2)", "size_s (1)"]),
        ("monitor.features", ["age"], ["monitor.features", "'age'", "data.features"]),
        ("monitor.labels.decay.metric", "rmse", ["monitor.labels.decay.metric", "'rmse'", "'binary'", "auc, log_loss"]),
        ("retrain.golden", "g.parquet", ["retrain.golden", "add a gate with `on: golden`", "{metric: auc,"]),
    ],
)
def test_values_that_do_not_fit_each_other_are_named(path: str, value: Any, parts: list[str]) -> None:
    (line,) = refusal(changed(path, value))
    assert [part for part in parts if part not in line] == []


@pytest.mark.parametrize(
    ("drop", "by", "column"), [("data.unit", "unit", "data.unit"), ("data.timestamp", "time", "data.timestamp")]
)
def test_a_holdout_needs_the_column_it_is_made_by(drop: str, by: str, column: str) -> None:
    text = changed("train.holdout", {"by": by}).replace(f"  {drop.split('.')[1]}: ", "  removed: ", 1)
    text = "\n".join(line for line in text.split("\n") if not line.startswith("  removed: "))
    (line,) = refusal(text)
    assert f"'{by}'" in line
    assert column in line


def test_decay_as_a_trigger_needs_its_definition() -> None:
    (line,) = refusal(changed("monitor.labels", {}))
    assert "retrain.triggers" in line
    assert "monitor.labels.decay" in line


def test_a_golden_set_with_a_gate_on_it_is_taken() -> None:
    gates = {"gates": [{"metric": "auc", "min": 0.7}, {"metric": "auc", "min": 0.8, "on": "golden"}]}
    spec = ModelSpec.model_validate(content() | gates | {"retrain": {"golden": "mlops.golden@v1"}})
    assert spec.retrain.golden == "mlops.golden@v1"


def test_decay_in_a_metric_of_the_task_is_taken() -> None:
    sections: dict[str, Any] = {"train": {"task": "regression", "metric": "rmse", "mode": "min"}, "gates": []}
    sections["monitor"] = {"labels": {"decay": {"metric": "rmse", "max_drop": 0.5}}}
    decay = ModelSpec.model_validate(content() | sections).monitor.labels.decay
    assert decay is not None
    assert decay.metric == "rmse"


def test_all_mistakes_are_listed() -> None:
    text = changed("train.trials", 0).replace("name: churn", "name: 1") + "\nextra: 1\n"
    assert sorted(line.split(":")[0] for line in refusal(text)) == ["extra", "name", "train.trials"]


def test_a_long_value_is_shortened() -> None:
    (line,) = refusal(changed("train.trials", "x" * 1000))
    assert len(line) < 200
