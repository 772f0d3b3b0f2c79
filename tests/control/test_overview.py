"""What `mlops-ray drift` prints."""

from typing import Any

from mlops_ray.control.overview import drift_text

FEATURE: dict[str, Any] = {"name": "a", "ks": 0.5, "js": 0.1, "psi": 0.3, "shift": -1.25, "drifted": True}


def status(**changes: Any) -> dict[str, Any]:
    report = {"message": "1 of 2 features drifted", "features": [FEATURE, FEATURE | {"name": "b", "shift": None}]}
    return {"model": "toy", "version": 3, "report": report, "quality": [], "multivariate": None} | changes


def test_features_are_a_table_with_a_shift_where_there_is_one() -> None:
    header, a, b = drift_text(status()).splitlines()[1:]
    assert header.split() == ["feature", "KS", "JS", "PSI", "shift", "verdict"]
    assert a.split() == ["a", "0.500", "0.100", "0.300", "-1.25", "DRIFTED"]
    assert b.split() == ["b", "0.500", "0.100", "0.300", "DRIFTED"]


def test_what_is_broken_comes_before_it() -> None:
    text = drift_text(status(quality=[{"message": "b: 40% of the values are missing, 1.0% in the reference"}]))
    assert text.splitlines()[1] == "BROKEN b: 40% of the values are missing, 1.0% in the reference"


def test_without_features_there_is_no_table() -> None:
    few = {"message": "3 of the 300 rows needed for a judgement", "features": []}
    assert drift_text(status(report=few)) == "toy v3: 3 of the 300 rows needed for a judgement"
    assert drift_text({"model": "toy", "version": None, "report": None}) == "toy: no window was judged yet"


def test_all_features_together_have_a_line() -> None:
    assert "with an area of 0.71" in drift_text(status(multivariate={"auc": 0.714}))
