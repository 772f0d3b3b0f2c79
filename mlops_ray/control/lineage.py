"""From a served answer back to everything that made it."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from mlops_ray.data import DatasetTable
from mlops_ray.errors import NotFoundError
from mlops_ray.lake import Lake
from mlops_ray.model import Signature
from mlops_ray.records import RecordLog
from mlops_ray.spec import Workspace, without_password
from mlops_ray.store import Store

__all__ = ["find_request", "lineage_of", "lineage_text"]


def lineage_of(store: Store, workspace: Workspace, request_id: str) -> dict[str, Any]:
    """JSON values: request, model version, MLflow run, dataset version with its source files, and code.

    Raises:
        NotFoundError: no model recorded a request of that id.
    """
    record = find_request(store, workspace, request_id)
    model = record.pop("model")
    version = store.model_version(model, record["version"])
    if record.get("confidence") is not None:
        record["class"] = _class_of(version.bundle_uri, record["score"])
    table, _, _ = version.dataset.partition("@")
    dataset = DatasetTable(table, catalog=workspace.catalog, lake=workspace.lake)
    known = dataset.resolve(version.dataset)
    sources = [asdict(source) for source in dataset.history(known)]
    return {
        "request": record,
        "model_version": {
            "model": model,
            "version": version.version,
            "digest": version.digest,
            "bundle_uri": version.bundle_uri,
            "stage": version.stage.value,
            "metrics": dict(version.metrics),
        },
        "run": {"run_id": version.run_id, "tracking": without_password(workspace.tracking)},
        "dataset_version": {
            "ref": version.dataset,
            "snapshot_id": known.snapshot_id,
            "rows": known.rows,
            "digest": known.digest,
        },
        "sources": sources,
        "code_version": dict(version.code),
    }


def lineage_text(content: Mapping[str, Any]) -> str:
    """The same, one line a step."""
    request, version, dataset = content["request"], content["model_version"], content["dataset_version"]
    code = content["code_version"]
    dirty = " (with uncommitted changes)" if code.get("dirty") else ""
    lines = [
        f"request {request['request_id']}: {_answer(request)} by {request['role']}, epoch {request['epoch']}",
        f"model version: {version['model']} v{version['version']}, digest {version['digest'][:16]}",
        f"run: {content['run']['run_id']} in {content['run']['tracking']}",
        f"dataset version: {dataset['ref']}, snapshot {dataset['snapshot_id']}, {dataset['rows']} rows",
        *(f"source: {s['uri']} sha256 {s['sha256'][:16]} ({s['size_bytes']} bytes)" for s in content["sources"]),
        f"code version: {code.get('sha') or 'not in git'}{dirty}, lock {str(code.get('lock_digest'))[:16]}",
    ]
    return "\n".join(lines)


def find_request(store: Store, workspace: Workspace, request_id: str) -> dict[str, Any]:
    """The record of a request, with the `model` it was sent to.

    Raises:
        NotFoundError: no model recorded it.
    """
    lake = Lake(workspace.lake)
    models = store.models()
    for model in models:
        try:
            return {"model": model.name, **RecordLog(lake, model.name).find(request_id)}
        except NotFoundError:
            continue
    names = ", ".join(m.name for m in models) or "none"
    raise NotFoundError(f"no record of request {request_id!r} in {workspace.lake}; looked at models: {names}")


def _class_of(bundle_uri: str, place: float) -> str:
    signature = Signature.from_json(json.loads(Lake(bundle_uri).read_bytes("signature.json")))
    return signature.classes[int(place)]


def _answer(request: Mapping[str, Any]) -> str:
    score = request["score"]
    if request.get("confidence") is not None:
        return f"class {request.get('class', f'{score:.0f}')} with probability {request['confidence']:.6g}"
    return f"score {score:.6g}" if score is not None else f"no score (status {request['status']}, {request['error']})"
