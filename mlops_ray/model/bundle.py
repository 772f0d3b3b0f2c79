"""A model version as a folder of files that says what is in it, and can be checked, moved and loaded anywhere.

    manifest.json    flavor, digest, sha256 of every other file
    signature.json   what the model takes
    reference.json   what its training data and predictions looked like
    card.md          for people
    attribution.json how much each feature moved its answers in training; not in every bundle
    probe.arrow      rows with the trainer's own predictions; not in every bundle
    ...              the model's own files

The digest is the sha256 of all of it, so that two bundles with one digest are one model.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from mlops_ray.drift import AttributionReference, ReferenceProfile
from mlops_ray.errors import ModelError, PredictionError
from mlops_ray.lake import Lake
from mlops_ray.model.predictor import Predictor
from mlops_ray.model.probe import PROBE_FILE, Probe
from mlops_ray.model.signature import Signature
from mlops_ray.model.trained import Flavor, TrainedModel

__all__ = ["ATTRIBUTION_FILE", "MANIFEST", "Bundle", "Manifest", "publish_bundle", "write_bundle"]

MANIFEST = "manifest.json"
ATTRIBUTION_FILE = "attribution.json"
_OWN_FILES = (MANIFEST, "signature.json", "reference.json", "card.md", ATTRIBUTION_FILE, PROBE_FILE)


@dataclass(frozen=True)
class Manifest:
    """The table of contents of a bundle."""

    flavor: Flavor
    digest: str
    files: Mapping[str, str]  # name -> sha256
    format: int = 1

    def to_json(self) -> dict[str, Any]:
        """JSON-ready dictionary."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Inverse of `to_json`."""
        return cls(
            flavor=content["flavor"],
            digest=content["digest"],
            files=dict(content["files"]),
            format=content["format"],
        )


@dataclass(frozen=True)
class Bundle:
    """A bundle in memory, ready to predict."""

    manifest: Manifest
    signature: Signature
    reference: ReferenceProfile
    predictor: Predictor
    uri: str
    folder: Path | None = None
    """Where its files lie on this machine, checked."""

    def predict(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        """Predictions of an encoded matrix (rows, width), checked: (rows,), or (rows, classes) of a multiclass model.

        Raises:
            PredictionError: the model raised, or answered with another shape or something not finite.
        """
        try:
            answer = np.asarray(self.predictor.predict(matrix), dtype=np.float64)
        except PredictionError:
            raise
        except Exception as error:  # a model is foreign code; the caller has a champion to fall back on
            raise PredictionError(f"model {self.uri}: raised {type(error).__name__}: {error}") from error
        expected = (len(matrix), *self.signature.answer_shape)
        if answer.shape != expected:
            of_classes = f" of {len(self.signature.classes)} classes" if self.signature.classes else ""
            raise PredictionError(
                f"model {self.uri}: expected {len(matrix)} predictions{of_classes}, found shape {answer.shape}"
            )
        if not np.isfinite(answer).all():
            row = int(np.argwhere(~np.isfinite(answer))[0][0])
            raise PredictionError(f"model {self.uri}: expected finite predictions, found {answer[row]} in row {row}")
        return answer


def write_bundle(
    folder: Path,
    *,
    model: TrainedModel,
    signature: Signature,
    reference: ReferenceProfile,
    card: str,
    probe: Probe | None = None,
    attribution: AttributionReference | None = None,
) -> Manifest:
    """Write the bundle into `folder`, which is made when it is not there.

    Raises:
        ModelError: a file of the model is named like one of the bundle's own, or would land outside of the folder.
    """
    for name in model.files:
        _check_name(name)
    files = {
        **model.files,
        "signature.json": json.dumps(signature.to_json(), indent=1).encode(),
        "reference.json": reference.to_json().encode(),
        "card.md": card.encode(),
    }
    if probe is not None:
        files[PROBE_FILE] = probe.to_bytes()
    if attribution is not None:
        files[ATTRIBUTION_FILE] = attribution.to_json().encode()
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in sorted(files.items())}
    manifest = Manifest(flavor=model.flavor, digest=digest_of(model.flavor, digests), files=digests)
    for name, content in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    (folder / MANIFEST).write_text(json.dumps(manifest.to_json(), indent=1), encoding="utf-8")
    return manifest


def publish_bundle(folder: Path, lake: Lake, model_name: str) -> str:
    """Copy a written bundle into the lake and return its URI, `<lake>/models/<model_name>/<digest12>`.

    The place is named by the content: publishing the same bundle again changes nothing. The manifest goes last, so
    that a bundle with a manifest is whole.
    """
    manifest = Manifest.from_json(json.loads((folder / MANIFEST).read_text(encoding="utf-8")))
    place = f"models/{model_name}/{manifest.digest[:12]}"
    if not lake.exists(f"{place}/{MANIFEST}"):
        for name in (*manifest.files, MANIFEST):
            lake.write_bytes(f"{place}/{name}", (folder / name).read_bytes())
    return lake.uri_of(place)


def digest_of(flavor: str, files: Mapping[str, str]) -> str:
    """The digest of a bundle from its flavor and the sha256 of its files."""
    content = json.dumps({"format": 1, "flavor": flavor, "files": dict(sorted(files.items()))}, separators=(",", ":"))
    return hashlib.sha256(content.encode()).hexdigest()


def _check_name(name: str) -> None:
    path = PurePosixPath(name)
    if name in _OWN_FILES:
        raise ModelError(f"model file {name!r} is named like one of the bundle's own; rename it")
    if path.is_absolute() or ".." in path.parts or not path.parts or "\\" in name:
        raise ModelError(f"model file {name!r}: expected a relative path inside the bundle")
