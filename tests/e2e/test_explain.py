"""Explanations and reports on a real cluster: asked over HTTP, and made of what was served."""

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lightgbm as lgb
import mlflow
import numpy as np
import pyarrow as pa
import pytest
import requests

from mlops_ray.drift import attribution_reference
from mlops_ray.lake import Lake
from mlops_ray.model import Manifest, TrainedModel, build_probe, encode, write_bundle
from mlops_ray.spec import ModelSpec, Workspace, parse_spec
from mlops_ray.store import AlertRecord
from tests.cli.command import mlops_ray
from tests.e2e.toy import SIGNATURE, Toy, reference, rows, sound_model, until

pytestmark = pytest.mark.slow


def booster_of(model: TrainedModel) -> lgb.Booster:
    return lgb.Booster(model_str=model.files["model.lgb.txt"].decode())


def encoded(records: list[dict[str, Any]]) -> Any:
    return encode(SIGNATURE, pa.Table.from_pylist([{name: r.get(name) for name in SIGNATURE.names} for r in records]))


class Explained(Toy):
    """The toy of the other tests, whose bundles say how it reasons; it is looked at every other second."""

    @property
    def spec(self) -> ModelSpec:
        content = json.loads(super().spec.model_dump_json(exclude_unset=True))
        content["monitor"] |= {"attribution": {"every_s": 2, "rows": 200}}
        return parse_spec(json.dumps(content))

    def write(self, folder: Path, number: int, model: TrainedModel | None) -> Manifest:
        model = model or sound_model(10 + number)
        booster = booster_of(model)
        known = rows(500, 0)
        found = np.asarray(booster.predict(encoded(known), pred_contrib=True))[:, :-1]
        return write_bundle(
            folder,
            model=model,
            signature=SIGNATURE,
            reference=reference(),
            card="",
            probe=build_probe(
                SIGNATURE,
                pa.Table.from_pylist(rows(300, 1)),
                model=model,
                predict=lambda matrix: np.asarray(booster.predict(matrix)),
            ),
            attribution=attribution_reference(SIGNATURE.names, found, method="tree_shap", exact=True, seed=1),
        )

    def source(self) -> Callable[[int], list[dict[str, Any]]]:
        """Rows whose `a` has been lost upstream."""
        whole = super().source()
        return lambda count: [{**row, "a": 0.0} for row in whole(count)]

    def explain(self, records: list[dict[str, Any]]) -> requests.Response:
        return requests.post(f"{self.url}/explain", json={"records": records}, timeout=60)


@pytest.fixture(scope="module")
def toy(live: Workspace) -> Iterator[Explained]:
    client = mlflow.MlflowClient(live.tracking)
    run = client.create_run(client.create_experiment("explained", artifact_location=f"{live.lake}/mlflow/explained"))
    toy = Explained(live, "explained", run_id=run.info.run_id)
    toy.first_champion()
    yield toy
    toy.retire()


def first_explanation(toy: Explained, records: list[dict[str, Any]]) -> requests.Response:
    """The first one waits for the explaining process to begin."""
    return until(lambda: reply if (reply := toy.explain(records)).status_code == 200 else None, "one", timeout_s=120)


def test_contributions_over_http_are_those_of_lightgbm(toy: Explained) -> None:
    records = rows(5, 3)
    content = first_explanation(toy, records).json()
    expected = np.asarray(booster_of(sound_model(11)).predict(encoded(records), pred_contrib=True))
    found = [[*each["contributions"].values(), each["base"]] for each in content["explanations"]]
    np.testing.assert_allclose(found, expected)
    assert content["method"] == "tree_shap"


def test_predictions_are_answered_however_many_want_to_be_explained(toy: Explained) -> None:
    first_explanation(toy, rows(1, 3))
    done, said = threading.Event(), []

    def ask() -> None:
        while not done.is_set():
            said.append(toy.explain(rows(64, 5)).status_code)

    threads = [threading.Thread(target=ask) for _ in range(10)]
    for thread in threads:
        thread.start()
    try:
        answers = [requests.post(f"{toy.url}/predict", json={"records": rows(1, i)}, timeout=30) for i in range(200)]
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert {answer.status_code for answer in answers} == {200}
    assert set(said) <= {200, 503}, "who finds the line full is told to come again"
    assert {200, 503} <= set(said)


def test_lost_values_are_an_alert_with_a_report_and_one_on_what_the_model_reasons_with(
    toy: Explained, tmp_path: Path
) -> None:
    def alert(kind: str, told: str) -> Callable[[], AlertRecord | None]:
        return lambda: next((a for a in toy.store.alerts(toy.name) if a.kind == kind and told in a.evidence), None)

    with toy.traffic() as driver:
        broken = until(alert("data_quality", "report"), "the report of an alert on broken data", timeout_s=180)
        attribution = until(alert("attribution", "shift"), "the alert on attribution", timeout_s=180)
        request_id = until(driver.drain_answers, "an answer", timeout_s=30)[-1].request_id
    assert "a" in broken.features
    assert "a" in broken.evidence["report_drifted"]
    assert "a" in attribution.features
    lake = Lake(toy.workspace.lake)
    page = lake.read_bytes(f"reports/{toy.name}/{broken.id}/report.html").decode()
    assert broken.id in page
    logged = until(alert("data_quality", "report_logged"), "a report in MLflow", timeout_s=60)
    artifacts = mlflow.MlflowClient(toy.workspace.tracking).list_artifacts(toy.run_id, f"reports/{broken.id}")
    assert logged.evidence["report_logged"] is True
    assert {Path(artifact.path).name for artifact in artifacts} >= {"report.html", "report.json"}
    assert [e.subject for e in toy.store.events(kind="alert.reported") if e.subject == broken.id] == [broken.id]
    assert toy.store.verify().verified
    _commands(toy, tmp_path, request_id)


def _commands(toy: Explained, folder: Path, request_id: str) -> None:
    """The same by the command line: a report on demand, and why a request got its answer."""
    home = toy.workspace.home
    done = mlops_ray("report", toy.name, "--since", "10m", "--output", folder / "page.html", cwd=folder, home=home)
    assert done.code == 0, done.err
    assert "a" in done.answer["summary"]["drifted"]
    assert "drawDashboard" in (folder / "page.html").read_text()
    why = mlops_ray("explain", request_id, cwd=folder, home=home)
    assert why.code == 0, why.err
    (each,) = why.answer["explanations"]
    assert each["base"] + sum(each["contributions"].values()) == pytest.approx(each["score"])
    (folder / "rows.json").write_text(json.dumps(rows(2, 9)))
    asked = mlops_ray("explain", "--model", toy.name, "--file", folder / "rows.json", cwd=folder, home=home)
    assert asked.code == 0, asked.err
    assert len(asked.answer["explanations"]) == 2
