"""What a model says to a request, and the three shapes of requests it is said to."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlops_ray.model import Signature
from mlops_ray.serve.arrow_rows import ARROW_STREAM, arrow_rows, arrow_stream
from mlops_ray.serve.http import Response, json_response
from mlops_ray.serve.loaded import Decoders
from mlops_ray.serve.request import Rows
from mlops_ray.serve.tensors import InferRequest, encode_outputs, infer_request
from mlops_ray.spec import Task

__all__ = ["Answer", "ArrowBody", "Body", "InferBody", "PlainBody", "plain_predictions"]


@dataclass(frozen=True, slots=True)
class Answer:
    """Scores (n,) or (n, classes) of one request, and who gave them."""

    request_id: str
    model: str
    version: int
    role: str
    epoch: int
    task: Task
    scores: NDArray[np.float64]
    warnings: tuple[str, ...] = ()
    """Values of the request that break rules of the spec."""
    classes: tuple[str, ...] = ()
    """Of a multiclass model, whose scores are the probabilities of each."""

    def outputs(self) -> dict[str, NDArray[Any]]:
        """`score`, and for a binary model `label`: 1 where the score is at least one half.

        Of a multiclass model the `label` that is likeliest, its `score`, and the `scores` (n, classes) of all.
        """
        if self.classes:
            names = np.array(self.classes, dtype=object)
            return {"label": names[self.scores.argmax(axis=1)], "score": self.scores.max(axis=1), "scores": self.scores}
        if self.task != "binary":
            return {"score": self.scores}
        return {"score": self.scores, "label": (self.scores >= 0.5).astype(np.int64)}


class PlainBody:
    """A request of plain JSON records."""

    timeout_s: float | None = None
    """After how many seconds the client gives up, as far as the body says."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def rows(self, decoders: Decoders) -> Rows:
        """The rows, as a version with these decoders reads them."""
        return decoders.rows.decode(self._body)

    def respond(self, answer: Answer) -> Response:
        """The answer in the same format."""
        return json_response(
            {
                "request_id": answer.request_id,
                "model_name": answer.model,
                "model_version": str(answer.version),
                "role": answer.role,
                "epoch": answer.epoch,
                "predictions": plain_predictions(answer.task, answer.classes, answer.scores),
            }
            | ({"warnings": answer.warnings} if answer.warnings else {})
        )


class InferBody:
    """A request of the Open Inference Protocol; `binary` is the data of those of its tensors that have none."""

    def __init__(self, request: InferRequest, binary: bytes) -> None:
        self._request, self._binary = request, binary
        self.timeout_s = request.timeout_s

    @classmethod
    def of(cls, body: bytes, header_length: bytes) -> "InferBody":
        """A request over HTTP.

        Raises:
            RequestError: the body is no infer request.
        """
        return cls(*infer_request(body, header_length))

    def rows(self, decoders: Decoders) -> Rows:
        """The rows, as a version with these decoders reads them."""
        return decoders.checked(decoders.tensors.rows(self._request, self._binary))

    def respond(self, answer: Answer) -> Response:
        """The answer in the same format."""
        head = {
            "model_name": answer.model,
            "model_version": str(answer.version),
            "id": answer.request_id,
            "parameters": {"role": answer.role, "epoch": answer.epoch} | _told(answer),
        }
        return encode_outputs(self._request, head, answer.outputs())


class ArrowBody:
    """A request of many rows as an Arrow IPC stream; reading it takes long enough to be done on another thread."""

    timeout_s: float | None = None

    def __init__(self, body: bytes, *, unit: str | None, max_matrix_bytes: int) -> None:
        self._body = body
        self._unit = unit
        self._max_matrix_bytes = max_matrix_bytes
        self._read: tuple[Signature, Rows] | None = None

    def read(self, signature: Signature) -> None:
        """Read the rows for versions with this signature; on any thread.

        Raises:
            RequestError: see `arrow_rows`.
        """
        rows = arrow_rows(self._body, signature, unit=self._unit, max_matrix_bytes=self._max_matrix_bytes)
        self._read = (signature, rows)

    def rows(self, decoders: Decoders) -> Rows:
        """The rows, as a version with these decoders reads them."""
        if self._read is None or self._read[0] != decoders.signature:
            self.read(decoders.signature)
        assert self._read is not None
        return decoders.checked(self._read[1])

    def respond(self, answer: Answer) -> Response:
        """The answer in the same format."""
        metadata = {
            "request_id": answer.request_id,
            "model_name": answer.model,
            "model_version": str(answer.version),
            "role": answer.role,
            "epoch": str(answer.epoch),
            **_told(answer),
        }
        return Response(arrow_stream(answer.outputs(), metadata), 200, ARROW_STREAM)


def plain_predictions(task: Task, classes: tuple[str, ...], scores: NDArray[np.float64]) -> list[Any]:
    """What is said of each row's scores (n,) or (n, classes) in plain JSON."""
    if task == "binary":
        return [{"score": s, "label": int(s >= 0.5)} for s in scores.tolist()]
    if classes:
        return [_of_classes(classes, row) for row in scores.tolist()]
    return [{"score": s} for s in scores.tolist()]


def _of_classes(classes: tuple[str, ...], scores: list[float]) -> dict[str, Any]:
    likeliest = max(scores)
    label = classes[scores.index(likeliest)]
    return {"label": label, "score": likeliest, "scores": dict(zip(classes, scores, strict=True))}


def _told(answer: Answer) -> dict[str, str]:
    """The warnings where only a text can be said."""
    return {"warnings": "; ".join(answer.warnings)} if answer.warnings else {}


Body = PlainBody | InferBody | ArrowBody
