"""From a served answer back to everything that made it."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from mlops_ray.control.joined_rows import records_behind
from mlops_ray.control.window_table import base_of
from mlops_ray.data import DatasetTable
from mlops_ray.errors import NotFoundError
from mlops_ray.lake import Lake
from mlops_ray.model import Signature
from mlops_ray.records import RecordLog
from mlops_ray.spec import ModelSpec, Workspace, without_password
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
    known = DatasetTable.named(table, workspace).resolve(version.dataset)
    registered = store.model(model)
    base = base_of(version.dataset, ModelSpec.model_validate_json(registered.spec_json).table) if registered else ""
    sources = _sources(workspace, base or version.dataset)
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
        }
        | ({"window_of": base} if base not in ("", version.dataset) else {}),
        "sources": sources,
        "code_version": dict(version.code),
    }


def _sources(workspace: Workspace, ref: str) -> list[dict[str, Any]]:
    """The files a dataset version was made from; of joined records also the files of records behind each."""
    dataset = DatasetTable.named(ref.partition("@")[0], workspace)
    lake, history = Lake(workspace.lake), dataset.history(dataset.resolve(ref))
    return [{**asdict(source), **records_behind(lake, source.uri)} for source in history]


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
        *(
            f"source: {s['uri']} sha256 {s['sha256'][:16]} ({s['size_bytes']} bytes){_behind(s)}"
            for s in content["sources"]
        ),
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


def _behind(source: Mapping[str, Any]) -> str:
    served, labels = source.get("served", ()), source.get("labels", ())
    return f", from {len(served)} files of served requests and {len(labels)} of labels" if served else ""


def _class_of(bundle_uri: str, place: float) -> str:
    signature = Signature.from_json(json.loads(Lake(bundle_uri).read_bytes("signature.json")))
    return signature.classes[int(place)]


def _answer(request: Mapping[str, Any]) -> str:
    score = request["score"]
    if request.get("confidence") is not None:
        return f"class {request.get('class', f'{score:.0f}')} with probability {request['confidence']:.6g}"
    return f"score {score:.6g}" if score is not None else f"no score (status {request['status']}, {request['error']})"
