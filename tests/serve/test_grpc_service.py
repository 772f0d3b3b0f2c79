"""The protocol over gRPC, as a replica answers it; requests are made by Triton's client."""

from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.grpc import service_pb2

from mlops_ray.errors import DeadlineError, PredictionError, StoreError
from mlops_ray.serve.access import Access
from mlops_ray.serve.grpc_messages import message
from mlops_ray.serve.grpc_service import InferenceService, ModelService, ServerService
from mlops_ray.serve.server_app import ServerApp
from mlops_ray.store import issue_key
from tests.serve.house import House, Open
from tests.serve.samples import MODEL, Register, booster, lightgbm_model, route, run
from tests.serve.test_model_app import Half


@dataclass
class Call:
    """The context of a call, and what became of it."""

    metadata: dict[str, str] = field(default_factory=dict)
    address: str = "ipv4:127.0.0.1:50000"
    code: grpc.StatusCode | None = None
    details: str = ""

    def invocation_metadata(self) -> list[tuple[str, str | bytes]]:
        return list(self.metadata.items())

    def peer(self) -> str:
        return self.address

    def set_code(self, code: grpc.StatusCode) -> None:
        self.code = code

    def set_details(self, details: str) -> None:
        self.details = details


def ask(service: InferenceService, method: str, request: Any = None, call: Call | None = None) -> Any:
    """The response as Triton's client has it; asserts that it was not refused."""
    call = call or Call()
    content = (request or getattr(service_pb2, f"{method}Request")()).SerializeToString()
    response = run(service.answer(method, message(f"{method}Request").FromString(content), call))
    assert call.code is None, call
    return getattr(service_pb2, f"{method}Response").FromString(response.SerializeToString())


def refused(service: InferenceService, method: str, request: Any = None, call: Call | None = None) -> Call:
    call = call or Call()
    content = (request or getattr(service_pb2, f"{method}Request")()).SerializeToString()
    response = run(service.answer(method, message(f"{method}Request").FromString(content), call))
    assert response.SerializeToString() == b""
    return call


def inputs(rows: int = 2) -> list[Any]:
    """Tensors as Triton's client makes them: raw."""
    tensors = []
    for name, kind, values in (
        ("amount", "FP64", np.arange(rows) + 2.0),
        ("visits", "INT32", np.full(rows, 3, np.int32)),
        ("member", "BOOL", np.full(rows, True)),
        ("plan", "BYTES", np.array(["paid"] * rows, np.object_)),
    ):
        tensor = triton.InferInput(name, [rows], kind)
        tensor.set_data_from_numpy(values)
        tensors.append(tensor)
    return tensors


def raw_request(rows: int = 2, **changes: Any) -> Any:
    request = service_pb2.ModelInferRequest(model_name=MODEL, **changes)
    for tensor in inputs(rows):
        request.inputs.append(tensor._get_tensor())
        request.raw_input_contents.append(tensor._get_content())
    return request


def typed_request(**changes: Any) -> Any:
    request = service_pb2.ModelInferRequest(model_name=MODEL, **changes)
    for name, kind, where, values in (
        ("amount", "FP64", "fp64_contents", [2.0, 3.0]),
        ("visits", "INT8", "int_contents", [3, 3]),
        ("member", "BOOL", "bool_contents", [True, True]),
        ("plan", "BYTES", "bytes_contents", [b"paid", b"paid"]),
    ):
        tensor = request.inputs.add(name=name, datatype=kind, shape=[2, 1])
        getattr(tensor.contents, where).extend(values)
    return request


EXPECTED = np.asarray(booster(10).predict(np.array([[2.0, 3, 1, 1], [3.0, 3, 1, 1]])))


@pytest.fixture
def house(open_door: Open, register: Register) -> House:
    """A front door on one version."""
    return open_door(route(4, register(lightgbm_model(10))))


def service(house: House) -> ModelService:
    return ModelService(house.door, "1.2.3")


def test_raw_tensors_are_answered_raw(house: House) -> None:
    response = ask(service(house), "ModelInfer", raw_request(id="r1"))
    result = triton.InferResult(response)
    np.testing.assert_allclose(result.as_numpy("score"), EXPECTED, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(result.as_numpy("label"), (EXPECTED >= 0.5).astype(int))
    assert (response.id, response.model_name, response.model_version) == ("r1", MODEL, "1")
    assert response.parameters["role"].string_param == "champion"
    assert response.parameters["epoch"].int64_param == 4
    (kept,) = house.records()
    assert (kept.request_id, kept.role, len(kept.scores)) == ("r1", "champion", 2)


def test_typed_tensors_are_answered_typed(house: House) -> None:
    response = ask(service(house), "ModelInfer", typed_request())
    assert list(response.outputs[0].contents.fp64_contents) == pytest.approx(EXPECTED.tolist(), abs=1e-12)
    assert list(response.outputs[1].contents.int64_contents) == (EXPECTED >= 0.5).astype(int).tolist()
    assert list(response.raw_output_contents) == []


def test_only_the_outputs_that_were_asked_for_are_answered(house: House) -> None:
    request = typed_request()
    request.outputs.add(name="label")
    assert [output.name for output in ask(service(house), "ModelInfer", request).outputs] == ["label"]


def test_the_unit_and_the_time_are_parameters(house: House) -> None:
    request = typed_request()
    request.parameters["unit"].string_param = "c7"
    request.parameters["timeout"].int64_param = 900_000
    ask(service(house), "ModelInfer", request)
    (kept,) = house.records()
    assert kept.unit == "c7"


def _changed(**changes: Any) -> Any:
    request = typed_request()
    for name, value in changes.items():
        setattr(request.inputs[0], name, value)
    return request


@pytest.mark.parametrize(
    ("request_", "code", "says"),
    [
        (typed_request(model_version="9"), "NOT_FOUND", "versions served: 1"),
        (service_pb2.ModelInferRequest(model_name="other"), "NOT_FOUND", "application=other"),
        (service_pb2.ModelInferRequest(model_name=MODEL), "INVALID_ARGUMENT", "missing tensor 'amount'"),
        (_changed(name="zz"), "INVALID_ARGUMENT", "unknown tensor 'zz'"),
        (_changed(datatype="FP128"), "INVALID_ARGUMENT", "found 'FP128'"),
        (_changed(datatype="FP32"), "INVALID_ARGUMENT", "0 values"),
        (typed_request(id="x" * 300), "INVALID_ARGUMENT", "length <= 256"),
        (raw_request(rows=60), "INVALID_ARGUMENT", "at most 50 rows"),
        (raw_request(rows=2000), "INVALID_ARGUMENT", "serve.max_body_bytes"),
        (raw_request(raw_input_contents=[b"1"]), "INVALID_ARGUMENT", "for all 4 inputs or for none, found 5"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_wrong_with_a_request_is_said(house: House, request_: Any, code: str, says: str) -> None:
    call = refused(service(house), "ModelInfer", request_)
    assert (call.code, says in call.details) == (grpc.StatusCode[code], True), call
    assert house.records() == []


def test_bytes_that_are_no_text_are_refused(house: House) -> None:
    request = typed_request()
    request.inputs[3].contents.bytes_contents[0] = b"\xff"
    assert refused(service(house), "ModelInfer", request).code is grpc.StatusCode.INVALID_ARGUMENT


def test_a_time_that_is_none_is_refused(house: House) -> None:
    request = typed_request()
    request.parameters["timeout"].string_param = "soon"
    assert "$.parameters.timeout" in refused(service(house), "ModelInfer", request).details
    assert (
        "x-request-timeout-ms"
        in refused(service(house), "ModelInfer", typed_request(), Call({"x-request-timeout-ms": "soon"})).details
    )


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (DeadlineError("late"), "DEADLINE_EXCEEDED"),
        (PredictionError("it raised"), "INTERNAL"),
        (StoreError("away"), "UNAVAILABLE"),
        (ZeroDivisionError("secret detail"), "INTERNAL"),
    ],
)
def test_a_failure_has_a_status_of_its_kind(failure: Exception, code: str) -> None:
    call = refused(ModelService(Half(failure=failure), "1"), "ModelInfer", typed_request())
    assert call.code is grpc.StatusCode[code]
    assert "secret detail" not in call.details


def test_no_more_requests_are_under_way_than_over_http() -> None:
    app = Half(max_ongoing_requests=1)
    with app.admission.enter():
        assert refused(ModelService(app, "1"), "ModelInfer", typed_request()).code is grpc.StatusCode.UNAVAILABLE
    ask(ModelService(app, "1"), "ModelInfer", typed_request())


def test_the_model_and_the_server_describe_themselves(house: House) -> None:
    asked = service(house)
    assert ask(asked, "ServerLive").live
    assert ask(asked, "ServerReady").ready
    assert ask(asked, "ServerMetadata").version == "1.2.3"
    metadata = ask(asked, "ModelMetadata", service_pb2.ModelMetadataRequest(name=MODEL))
    assert (metadata.name, list(metadata.versions), metadata.platform) == (MODEL, ["1"], "mlops_ray_binary")
    assert [(i.name, i.datatype, list(i.shape)) for i in metadata.inputs][:2] == [
        ("amount", "FP64", [-1]),
        ("visits", "INT64", [-1]),
    ]


@pytest.mark.parametrize(
    ("name", "version", "ready"), [(MODEL, "", True), (MODEL, "1", True), (MODEL, "2", False), ("other", "", False)]
)
def test_a_model_is_ready_when_it_is_in_memory(house: House, name: str, version: str, ready: bool) -> None:
    request = service_pb2.ModelReadyRequest(name=name, version=version)
    assert ask(service(house), "ModelReady", request).ready is ready


def test_keys_are_asked_for_as_over_http() -> None:
    (key, kept), (other, labels) = issue_key("a", ["infer"], now_s=0.0), issue_key("b", ["label"], now_s=0.0)
    asked = ModelService(Half(access=Access(lambda: [kept, labels], required=True)), "1")
    for method in ("ModelInfer", "ModelMetadata", "ServerMetadata"):
        assert refused(asked, method).code is grpc.StatusCode.UNAUTHENTICATED
    shown = Call({"authorization": f"Bearer {other}"})
    assert refused(asked, "ModelInfer", typed_request(), shown).code is grpc.StatusCode.PERMISSION_DENIED
    ask(asked, "ModelInfer", typed_request(), Call({"x-api-key": key}))
    for method in ("ServerLive", "ServerReady", "ModelReady"):
        ask(asked, method)


@pytest.mark.parametrize(
    ("call", "passes"),
    [
        (Call(), True),
        (Call(address="ipv6:%5B::1%5D:50000"), True),
        (Call(address="unix:/tmp/s"), True),
        (Call(address="ipv4:10.0.0.9:50000"), False),
        (Call(address="ipv6:[2001:db8::1]:50000"), False),
        (Call({"x-forwarded-for": "127.0.0.1, 203.0.113.9"}), False),
    ],
)
def test_another_machine_is_refused_where_keys_are_off_for_want_of_others(call: Call, passes: bool) -> None:
    asked = ModelService(Half(access=Access(only_here=True)), "1")
    if passes:
        ask(asked, "ModelInfer", typed_request(), call)
    else:
        assert refused(asked, "ModelInfer", typed_request(), call).code is grpc.StatusCode.PERMISSION_DENIED


def test_the_server_says_which_models_there_are_and_how_to_reach_them() -> None:
    asked = ServerService(ServerApp("1.2.3", lambda: {"shop": True, "slow": False}))
    assert ask(asked, "ServerLive").live
    assert not ask(asked, "ServerReady").ready
    assert ask(asked, "ServerMetadata").name == "mlops_ray"
    for name, ready in (("shop", True), ("slow", False), ("zz", False)):
        assert ask(asked, "ModelReady", service_pb2.ModelReadyRequest(name=name)).ready is ready
    call = refused(asked, "ModelInfer", typed_request())
    assert (call.code, call.details) == (
        grpc.StatusCode.NOT_FOUND,
        f"send the metadata application={MODEL}; models served: shop, slow",
    )
    assert refused(asked, "ModelMetadata").code is grpc.StatusCode.NOT_FOUND
