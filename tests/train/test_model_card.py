from mlops_ray.data import DatasetVersion
from mlops_ray.evaluation import GateReport, GateResult
from mlops_ray.model import InputColumn, Signature
from mlops_ray.train.model_card import CardFacts, model_card
from mlops_ray.verdict import Verdict
from tests.train.conftest import CODE, spec_of

DATASET = DatasetVersion("tests.churn", 2, "99", None, 600, 600, 0, None, "e" * 64, {}, (), 0.0)
GATE = GateResult("auc", "min", 0.8, 0.85, None, None, Verdict.PASS, "auc is 0.85, meets at least 0.8")
CATEGORIES = tuple(f"p{i}" for i in range(12))


def card(champion: str | None = None) -> str:
    metrics = {"auc": 0.85}
    report = GateReport(Verdict.PASS, (GATE,), metrics, {"auc": 0.8} if champion else None)
    signature = Signature((InputColumn("plan", "category", True, CATEGORIES),), "binary", "customer")
    rows = {"training": 400, "holdout": 100}
    return model_card(CardFacts(spec_of(), DATASET, CODE, signature, {"num_leaves": 7}, 3, rows, report, champion))


def test_a_card_says_what_the_model_was_made_from() -> None:
    text = card()
    assert "`tests.churn@v2` (snapshot 99, digest eeeeeeeeeeee), 600 rows: training 400, holdout 100" in text
    assert "Code cccccccccccc, packages dddddddddddd" in text
    assert "| num_leaves | 7 |" in text


def test_a_card_says_what_the_gates_found() -> None:
    assert "Gates: **PASS**" in card()
    assert "- PASS: auc is 0.85, meets at least 0.8" in card()


def test_a_comparison_shows_both_models() -> None:
    assert "| auc | 0.8500 | 0.8000 |" in card("version 1")
    assert "champion (version 1)" in card("version 1")


def test_long_vocabularies_are_cut() -> None:
    assert "p7, …" in card()
    assert "p8" not in card()
