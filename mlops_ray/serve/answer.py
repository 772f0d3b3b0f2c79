"""What a model says to a request, and the two shapes of requests it is said to."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlops_ray.serve.http import Response, json_response
from mlops_ray.serve.loaded import Decoders
from mlops_ray.serve.request import Rows
from mlops_ray.serve.tensors import InferRequest, encode_outputs
from mlops_ray.spec import Task

__all__ = ["Answer", "Body", "InferBody", "PlainBody"]


@dataclass(frozen=True, slots=True)
class Answer:
    """Scores (n,) of one request, and who gave them."""

    request_id: str
    model: str
    version: int
    role: str
    epoch: int
    task: Task
    scores: NDArray[np.float64]

    def labels(self) -> NDArray[np.int64]:
        """1 where the score of a binary model is at least one half."""
        return (self.scores >= 0.5).astype(np.int64)


class PlainBody:
    """A request of plain JSON records."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def rows(self, decoders: Decoders) -> Rows:
        """The rows, as a version with these decoders reads them."""
        return decoders.rows.decode(self._body)

    def respond(self, answer: Answer) -> Response:
        """The answer in the same format."""
        if answer.task == "binary":
            predictions: list[Any] = [{"score": s, "label": int(s >= 0.5)} for s in answer.scores.tolist()]
        else:
            predictions = [{"score": s} for s in answer.scores.tolist()]
        return json_response(
            {
                "request_id": answer.request_id,
                "model_name": answer.model,
                "model_version": str(answer.version),
                "role": answer.role,
                "epoch": answer.epoch,
                "predictions": predictions,
            }
        )


class InferBody:
    """A request of the Open Inference Protocol."""

    def __init__(self, body: bytes, header_length: bytes) -> None:
        self._body = body
        self._header_length = header_length
        self._request: InferRequest | None = None

    def rows(self, decoders: Decoders) -> Rows:
        """The rows, as a version with these decoders reads them."""
        rows, self._request = decoders.tensors.decode(self._body, self._header_length)
        return rows

    def respond(self, answer: Answer) -> Response:
        """The answer in the same format."""
        assert self._request is not None, "rows() comes before respond()"
        outputs: dict[str, NDArray[Any]] = {"score": answer.scores}
        if answer.task == "binary":
            outputs["label"] = answer.labels()
        head = {
            "model_name": answer.model,
            "model_version": str(answer.version),
            "id": answer.request_id,
            "parameters": {"role": answer.role, "epoch": answer.epoch},
        }
        return encode_outputs(self._request, head, outputs)


Body = PlainBody | InferBody
