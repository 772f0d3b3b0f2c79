"""Loads model versions of the store into memory."""

import json
import weakref
from pathlib import Path

from mlops_ray.errors import NotFoundError
from mlops_ray.lake import Lake
from mlops_ray.model import Signature, load_bundle, read_probe
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
        self._loaded: tuple[weakref.ref[LoadedModel], ...] = ()

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
        """Read, check, load and warm up a version, and see that it predicts here what it predicted in training.

        Raises:
            NotFoundError: the store has no such version.
            ModelError: the bundle is damaged or not the one that was registered, the model does not predict, or it
                predicts something else than the trainer's did.
        """
        serve = self.spec().serve
        record = self.store.model_version(self.model, version)
        device = "cuda" if serve.resources.gpus > 0 else "cpu"
        bundle = load_bundle(record.bundle_uri, cache=self._cache, device=device, digest=record.digest)
        loaded = LoadedModel(version, bundle, serve)
        probe = read_probe(record.bundle_uri)
        if probe is None:
            loaded.warm_up()
        else:
            loaded.warm_up(probe.matrix)
            loaded.verify(probe)
        # replaced as a whole: whoever asks how busy they are does so on another thread
        self._loaded = (*(known for known in self._loaded if known() is not None), weakref.ref(loaded))
        return loaded

    def busy_s(self) -> float:
        """How long the longest predict call has been running, of all versions that this process loaded and still holds.

        A call that hangs holds its version.
        """
        alive = [loaded for known in self._loaded if (loaded := known()) is not None]
        return max((loaded.busy_s() for loaded in alive), default=0.0)

    def signature(self, version: int) -> Signature:
        """Only the signature of a version, without loading the model."""
        uri = self.store.model_version(self.model, version).bundle_uri
        return Signature.from_json(json.loads(Lake(uri).read_bytes("signature.json")))
