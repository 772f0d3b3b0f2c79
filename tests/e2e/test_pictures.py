"""A model of pictures and three classes on a cluster: asked in every format, delivered, watched and labelled."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa
import pytest
import requests
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton
from numpy.typing import NDArray

from mlops_ray.control.client import ModelClient
from mlops_ray.drift import build_reference
from mlops_ray.errors import RequestError
from mlops_ray.lake import Lake
from mlops_ray.model import Manifest, TrainedModel, build_probe, write_bundle
from mlops_ray.monitor.drift_actor import drift_status
from mlops_ray.pixels import encode_png
from mlops_ray.records import RecordLog
from mlops_ray.rollout import Phase
from mlops_ray.serve.arrow_rows import ARROW_STREAM
from mlops_ray.spec import ModelSpec, Workspace, parse_spec
from tests.e2e.toy import Toy, until
from tests.serve.pictures import CLASSES, PICTURES, SIDE, text
from tests.serve.predictors import Colours
from tests.serve.test_arrow_rows import stream

pytestmark = pytest.mark.slow

_MODEL = TrainedModel("python", {"predictor.json": b'{"class": "tests.serve.predictors:Colours"}'})
_DATA = {
    "source": "/nowhere",
    "label": "y",
    "unit": "customer",
    "classes": list(CLASSES),
    "features": {"photo": {"type": "image", "height": SIDE, "width": SIDE}},
}


def noisy(seed: int) -> NDArray[np.uint8]:
    """A picture that is most of all of one colour, the class `seed % 3`."""
    picture = np.random.default_rng(seed).integers(0, 80, (SIDE, SIDE, 3))
    picture[:, :, seed % 3] += 150
    return picture.astype(np.uint8)


FILES = [encode_png(noisy(seed)) for seed in range(60)]


class Photos(Toy):
    """The toy of the other tests, with pictures."""

    @property
    def spec(self) -> ModelSpec:
        content = json.loads(super().spec.model_dump_json(exclude_unset=True))
        train = {"task": "multiclass", "metric": "accuracy", "trainer": "torchvision"}
        return parse_spec(json.dumps({**content, "data": _DATA, "train": train}))

    def write(self, folder: Path, number: int, model: TrainedModel | None) -> Manifest:
        matrix = np.stack([noisy(seed).reshape(-1) for seed in range(600)]).astype(float)
        predictions = Colours(folder).predict(matrix)
        values = np.column_stack((PICTURES.profiled(matrix), PICTURES.condensed(predictions)))
        reference = build_reference([*PICTURES.columns(), PICTURES.prediction_column()], values)
        rows = pa.table({"photo": pa.array(FILES, pa.large_binary())})
        model = model or _MODEL
        probe = build_probe(PICTURES, rows, model=model, predict=Colours(folder).predict)
        return write_bundle(
            folder, model=model, signature=PICTURES, reference=reference, card=f"version {number}", probe=probe
        )

    def source(self) -> Callable[[int], list[dict[str, Any]]]:
        seen = iter(range(10**9))

        def rows(count: int) -> list[dict[str, Any]]:
            return [{"uid": f"c{n}", "photo": text(FILES[n % 60])} for n, _ in zip(seen, range(count), strict=False)]

        return rows


@pytest.fixture(scope="module")
def photos(live: Workspace) -> Iterator[Photos]:
    """A champion that answers."""
    photos = Photos(live, "photos")
    photos.first_champion()
    yield photos
    photos.retire()


def test_plain_json_names_the_class(photos: Photos) -> None:
    records = [{"photo": text(content)} for content in FILES[:6]]
    answer = ModelClient(photos.workspace.serve, "photos").predict(records)
    assert [p["label"] for p in answer["predictions"]] == [CLASSES[i % 3] for i in range(6)]
    expected = Colours(Path()).predict(np.stack([noisy(i).reshape(-1) for i in range(6)]).astype(float))
    found = [[p["scores"][name] for name in CLASSES] for p in answer["predictions"]]
    np.testing.assert_allclose(found, expected, atol=1e-12)
    with pytest.raises(RequestError, match="JPEG, PNG or WebP"):
        ModelClient(photos.workspace.serve, "photos").predict([{"photo": text(b"no picture")}])


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("datatype", ["BYTES", "UINT8"])
def test_tritons_client_sends_files_and_pixels(photos: Photos, datatype: str, binary: bool) -> None:
    if datatype == "BYTES":
        contents = FILES[:3] if binary else [text(content).encode() for content in FILES[:3]]
        values: NDArray[Any] = np.array(contents, dtype=object)
    else:
        values = np.stack([noisy(seed) for seed in range(3)])
    tensor = triton.InferInput("photo", list(values.shape), datatype)
    tensor.set_data_from_numpy(values, binary_data=binary)
    client = triton.InferenceServerClient(photos.workspace.serve.removeprefix("http://"), network_timeout=30.0)
    wanted = [triton.InferRequestedOutput(name, binary_data=binary) for name in ("label", "score", "scores")]
    result = client.infer("photos", [tensor], outputs=wanted)
    labels = [label.decode() if isinstance(label, bytes) else label for label in result.as_numpy("label").tolist()]
    assert labels == list(CLASSES)
    assert result.as_numpy("scores").shape == (3, 3)
    client.close()


def test_grpc_and_arrow_answer_the_same(photos: Photos) -> None:
    tensor = triton_grpc.InferInput("photo", [3], "BYTES")
    tensor.set_data_from_numpy(np.array(FILES[:3], dtype=object))
    address = f"{urlsplit(photos.workspace.serve).hostname}:{photos.workspace.grpc_port}"
    client = triton_grpc.InferenceServerClient(address)
    over_grpc = client.infer("photos", [tensor], headers={"application": "photos"})
    client.close()
    table = pa.table({"photo": pa.array(FILES[:3], pa.binary())})
    headers = {"content-type": ARROW_STREAM.decode()}
    response = requests.post(f"{photos.url}/arrow", stream(table), headers=headers, timeout=30)
    answer = pa.ipc.open_stream(response.content).read_all()
    assert answer["label"].to_pylist() == list(CLASSES)
    assert over_grpc.as_numpy("label").tolist() == [name.encode() for name in CLASSES]
    np.testing.assert_array_equal(over_grpc.as_numpy("scores"), np.array(answer["scores"].to_pylist()))


def test_a_version_is_delivered_watched_and_judged_by_its_labels(photos: Photos) -> None:
    client, began_s = ModelClient(photos.workspace.serve, "photos"), time.time()
    with photos.traffic(rate_per_s=40.0):
        rollout = photos.ended(photos.deploy(photos.add_version()), timeout_s=150)
        assert rollout.phase == Phase.COMPLETED, rollout.state["rollout"]["history"]
        answer = client.predict([{"photo": text(content)} for content in FILES[:30]])
        labels = [{"request_id": answer["request_id"], "row": i, "label": CLASSES[i % 3]} for i in range(30)]
        assert client.send_labels(labels) == 30
        with pytest.raises(RequestError, match="expected one of the classes red, green, blue"):
            client.send_labels([{"request_id": "x", "label": "pink"}])

        def measured() -> Any:
            status = drift_status(photos.workspace, "photos")
            labelled = status["performance"] and status["performance"]["rows"]
            # the first judgements may have too few rows to look at any feature
            return status if labelled and status["report"] and status["report"]["features"] else None

        status = until(measured, "a judgement with labels", timeout_s=120)
    assert status["performance"]["metrics"]["accuracy"] == 1.0
    names = {feature["name"] for feature in status["report"]["features"]}
    assert names == {column.name for column in PICTURES.columns()} | {"prediction"}
    served = RecordLog(Lake(photos.workspace.lake), "photos").served(began_s)
    roles = set(served["role"].to_pylist())
    assert {"champion", "canary"} <= roles
    assert served["scores"].null_count == 0
    row = RecordLog(Lake(photos.workspace.lake), "photos").find(answer["request_id"])
    assert (row["score"], len(row["features"]["photo.digest"])) == (0.0, 16)
    assert len(row["scores"]) == 3
