"""Loads model versions of the store into memory."""

import json
from pathlib import Path

from mlops_ray.errors import NotFoundError
from mlops_ray.lake import Lake
from mlops_ray.model import Signature, load_bundle
from mlops_ray.serve.loaded import LoadedModel
from mlops_ray.spec import ModelSpec, Workspace
from mlops_ray.store import Store

__all__ = ["Versions", "app_name"]


def app_name(model: str, version: int) -> str:
    """The Serve application that hosts one version apart from the champion."""
    return f"{model}-v{version}"


class Versions:
    """The versions of one model, as the store and the lake know them."""

    def __init__(self, model: str, workspace: Workspace) -> None:
        self.model = model
        self.store = Store(workspace.store)
        self._cache = Path(workspace.home) / "bundles"

    def spec(self) -> ModelSpec:
        """The spec the model was deployed with.

        Raises:
            NotFoundError: the store has no such model.
        """
        record = self.store.model(self.model)
        if record is None:
            raise NotFoundError(f"model {self.model!r} is not in the store; deploy it first")
        return ModelSpec.model_validate_json(record.spec_json)

    def load(self, version: int) -> LoadedModel:
        """Read, check, load and warm up a version.

        Raises:
            NotFoundError: the store has no such version.
            ModelError: the bundle is damaged or does not predict.
        """
        serve = self.spec().serve
        record = self.store.model_version(self.model, version)
        device = "cuda" if serve.resources.gpus > 0 else "cpu"
        loaded = LoadedModel(version, load_bundle(record.bundle_uri, cache=self._cache, device=device), serve)
        loaded.warm_up()
        return loaded

    def signature(self, version: int) -> Signature:
        """Only the signature of a version, without loading the model."""
        uri = self.store.model_version(self.model, version).bundle_uri
        return Signature.from_json(json.loads(Lake(uri).read_bytes("signature.json")))
