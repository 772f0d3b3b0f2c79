"""Triton's gRPC client reads a served model through Serve's gRPC ingress: the replica that answers HTTP answers it."""

import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import psutil
import pytest
import requests
import tritonclient.grpc as triton

from mlops_ray.spec import Workspace
from tests.e2e.toy import Toy, rows

pytestmark = pytest.mark.slow

_TIMEOUT_S = 60.0
_REPLICAS = range(40_000, 41_001)  # where Ray puts their gRPC servers


@pytest.fixture(scope="module")
def toy(live: Workspace) -> Iterator[Toy]:
    """A champion that answers."""
    toy = Toy(live, "spoken").first_champion()
    yield toy
    toy.retire()


@pytest.fixture
def client(live: Workspace) -> Iterator[Any]:
    """Triton's own client."""
    client = triton.InferenceServerClient(f"{urlsplit(live.serve).hostname}:{live.grpc_port}")
    yield client
    client.close()


def _inputs(count: int) -> tuple[list[Any], list[dict[str, Any]]]:
    records = [{**row, "b": row["b"] or 4} for row in rows(count, seed=7)]
    inputs = []
    for name, kind, dtype in (("a", "FP64", np.float64), ("b", "INT64", np.int64), ("c", "BYTES", np.object_)):
        tensor = triton.InferInput(name, [count], kind)
        tensor.set_data_from_numpy(np.array([record[name] for record in records], dtype))
        inputs.append(tensor)
    return inputs, records


def test_the_server_says_that_it_lives_and_what_it_is(toy: Toy, client: Any) -> None:
    for application in ("mlops_ray_server", toy.name):
        to = {"application": application}
        assert client.is_server_live(headers=to, client_timeout=_TIMEOUT_S)
        assert client.is_server_ready(headers=to, client_timeout=_TIMEOUT_S)
        assert client.get_server_metadata(headers=to, client_timeout=_TIMEOUT_S).name == "mlops_ray"
        assert client.is_model_ready(toy.name, headers=to, client_timeout=_TIMEOUT_S)


def test_the_model_says_what_it_takes(toy: Toy, client: Any) -> None:
    metadata = client.get_model_metadata(toy.name, headers={"application": toy.name}, client_timeout=_TIMEOUT_S)
    assert list(metadata.versions) == ["1"]
    assert [(i.name, i.datatype) for i in metadata.inputs] == [("a", "FP64"), ("b", "INT64"), ("c", "BYTES")]


@pytest.mark.parametrize("count", [1, 1000])
def test_predictions_are_the_models_own(toy: Toy, client: Any, count: int) -> None:
    inputs, records = _inputs(count)
    to = {"application": toy.name}
    result = client.infer(toy.name, inputs, request_id="mine", headers=to, client_timeout=_TIMEOUT_S)
    np.testing.assert_allclose(result.as_numpy("score"), toy.scores(1, records), rtol=0, atol=1e-12)
    assert (result.get_response().id, result.get_response().model_version) == ("mine", "1")


def test_the_replica_that_answers_over_http_answers_over_grpc(toy: Toy, client: Any) -> None:
    """With one replica of one process there is one copy of the model; a version it does not hold is not found."""
    inputs, _ = _inputs(1)
    with pytest.raises(triton.InferenceServerException, match="versions served: 1") as caught:
        client.infer(toy.name, inputs, model_version="9", headers={"application": toy.name}, client_timeout=_TIMEOUT_S)
    assert caught.value.status() == "StatusCode.NOT_FOUND"
    assert requests.get(f"{toy.url}/versions/1/ready", timeout=_TIMEOUT_S).status_code == 200


def test_what_is_wrong_is_said_with_the_status_of_its_kind(toy: Toy, client: Any) -> None:
    inputs, _ = _inputs(1)
    with pytest.raises(triton.InferenceServerException, match="missing tensor 'a'") as caught:
        client.infer(toy.name, inputs[1:], headers={"application": toy.name}, client_timeout=_TIMEOUT_S)
    assert caught.value.status() == "StatusCode.INVALID_ARGUMENT"


def test_a_call_that_names_no_application_is_told_to(toy: Toy, client: Any) -> None:
    with pytest.raises(triton.InferenceServerException, match=r"[Aa]pplication") as caught:
        client.infer(toy.name, _inputs(1)[0], client_timeout=_TIMEOUT_S)
    assert caught.value.status() == "StatusCode.NOT_FOUND"


def test_the_port_of_a_replica_is_open_to_all_and_answers_this_machine_only(toy: Toy) -> None:
    """Ray opens it on all interfaces, whatever the host of Serve; keys are off here because nobody else is expected."""
    elsewhere = [a.address for all_ in psutil.net_if_addrs().values() for a in all_ if a.family is socket.AF_INET]
    outside = next((address for address in elsewhere if not address.startswith("127.")), None)
    if outside is None:
        pytest.skip("this machine has loopback addresses only")
    listening = {c.laddr.port for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN and c.laddr}
    ours = [port for port in sorted(listening & set(_REPLICAS)) if _refusal(toy, f"127.0.0.1:{port}") is None]
    assert len(ours) == 1
    assert _refusal(toy, f"{outside}:{ours[0]}") == "StatusCode.PERMISSION_DENIED"


def _refusal(toy: Toy, address: str) -> str | None:
    client = triton.InferenceServerClient(address)
    try:
        client.infer(toy.name, _inputs(1)[0], headers={"application": toy.name}, client_timeout=_TIMEOUT_S)
    except triton.InferenceServerException as error:
        return str(error.status())
    finally:
        client.close()
    return None
