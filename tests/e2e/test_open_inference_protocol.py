"""A client that is not ours: Triton's HTTP client reads a served model and gets the model's own predictions."""

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton

from mlops_ray.control.operations import command_rollout
from mlops_ray.rollout import Phase
from mlops_ray.spec import Workspace
from tests.e2e.toy import Toy, rows

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def toy(live: Workspace) -> Iterator[Toy]:
    """A champion that answers."""
    toy = Toy(live, "standard").first_champion()
    yield toy
    toy.retire()


@pytest.fixture
def client(toy: Toy) -> Iterator[triton.InferenceServerClient]:
    """Triton's own client."""
    client = triton.InferenceServerClient(toy.workspace.serve.removeprefix("http://"), network_timeout=30.0)
    yield client
    client.close()


def _inputs(records: list[dict[str, Any]], *, binary: bool) -> list[triton.InferInput]:
    columns = {
        "a": ("FP64", np.array([r["a"] for r in records], np.float64)),
        "b": ("INT64", np.array([r["b"] for r in records], np.int64)),
        "c": ("BYTES", np.array([r["c"] for r in records], np.object_)),
    }
    inputs = []
    for name, (datatype, values) in columns.items():
        tensor = triton.InferInput(name, values.shape, datatype)
        tensor.set_data_from_numpy(values, binary_data=binary)
        inputs.append(tensor)
    return inputs


def _whole(count: int) -> list[dict[str, Any]]:
    """Rows with a value in every column: a tensor has no nulls."""
    return [{**row, "b": row["b"] or 4} for row in rows(count, seed=7)]


def test_the_server_is_live_and_ready_and_says_what_it_is(client: triton.InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    metadata = client.get_server_metadata()
    assert metadata["name"] == "mlops_ray"
    assert "binary_tensor_data" in metadata["extensions"]


def test_the_model_is_ready_and_says_what_it_takes(toy: Toy, client: triton.InferenceServerClient) -> None:
    assert client.is_model_ready(toy.name)
    assert client.is_model_ready(toy.name, "1")
    assert not client.is_model_ready(toy.name, "99")
    assert not client.is_model_ready("nobody")
    metadata = client.get_model_metadata(toy.name)
    assert metadata["versions"] == ["1"]
    assert [(i["name"], i["datatype"]) for i in metadata["inputs"]] == [("a", "FP64"), ("b", "INT64"), ("c", "BYTES")]
    assert [(o["name"], o["datatype"]) for o in metadata["outputs"]] == [("score", "FP64"), ("label", "INT64")]


@pytest.mark.parametrize("count", [1, 1000])
@pytest.mark.parametrize("binary", [False, True], ids=["JSON", "binary"])
def test_predictions_are_the_models_own(
    toy: Toy, client: triton.InferenceServerClient, count: int, binary: bool
) -> None:
    records = _whole(count)
    outputs = [triton.InferRequestedOutput(name, binary_data=binary) for name in ("score", "label")]
    result = client.infer(toy.name, _inputs(records, binary=binary), outputs=outputs, request_id="mine")
    expected = toy.scores(1, records)
    np.testing.assert_allclose(result.as_numpy("score"), expected, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(result.as_numpy("label"), (expected >= 0.5).astype(np.int64))
    response = result.get_response()
    assert (response["id"], response["model_name"], response["model_version"]) == ("mine", toy.name, "1")


def test_a_refusal_reaches_the_client_as_its_own_error(toy: Toy, client: triton.InferenceServerClient) -> None:
    with pytest.raises(triton.InferenceServerException, match="'a'"):
        client.infer(toy.name, _inputs(_whole(1), binary=True)[1:])


def test_versions_can_be_asked_by_name_while_one_takes_over_from_the_other(
    toy: Toy, client: triton.InferenceServerClient
) -> None:
    records = _whole(5)
    rollout = toy.deploy(toy.add_version())

    def ask(version: str) -> Any:
        result = client.infer(toy.name, _inputs(records, binary=True), model_version=version)
        assert result.get_response()["model_version"] == version
        return result.as_numpy("score")

    toy.await_phase(rollout, Phase.CANARY)
    assert client.is_model_ready(toy.name, "2")
    np.testing.assert_allclose(ask("1"), toy.scores(1, records), rtol=0, atol=1e-12)
    np.testing.assert_allclose(ask("2"), toy.scores(2, records), rtol=0, atol=1e-12)
    command_rollout(toy.store, toy.name, "promote", by="test", reason="asked for", now_s=time.time())
    toy.ended(rollout)
    # The former champion stays in memory for a while.
    np.testing.assert_allclose(ask("1"), toy.scores(1, records), rtol=0, atol=1e-12)
    assert client.get_model_metadata(toy.name)["versions"] == ["2", "1"]
