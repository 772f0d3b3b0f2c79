"""What is left of a version that was rolled back, for whoever has to find out why: one folder in the lake.

`postmortems/<model>/<rollout id>/` holds report.json (the rollout, its history, evidence, verdicts, versions, alerts),
failed.parquet (requests that it failed or answered slowly, with features) and README.md (the same in a page).
"""

import io
import json
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mlops_ray.control.rollout_record import load_state
from mlops_ray.errors import MlopsRayError, NotFoundError
from mlops_ray.lake import Lake
from mlops_ray.records import RecordLog, served_schema
from mlops_ray.rollout import Phase, assess
from mlops_ray.spec import ModelSpec, Workspace
from mlops_ray.store import Event, RolloutRecord, Store

__all__ = ["PostMortems", "postmortem_text", "read_postmortem"]

_log = logging.getLogger(__name__)
_REPORT = "report.json"
_FAILED_ROWS = 1000
_FILES = 5000
_COMMON_ERRORS = 10
_SETTLES_S = 5.0


class PostMortems:
    """Writes what is missing; looks at the store only, so that it may be killed at any line."""

    def __init__(self, workspace: Workspace, store: Store, *, clock: Callable[[], float]) -> None:
        self._lake = Lake(workspace.lake)
        self._store = store
        self._clock = clock
        self._done: set[str] = set()

    def tick(self) -> None:
        """Look for rollouts that ended badly and have no bundle yet."""
        for rollout in self._store.rollouts():
            # The replicas' last records are a few seconds behind.
            settled = self._clock() - rollout.updated_s > _SETTLES_S
            if rollout.phase == Phase.ROLLED_BACK and settled and rollout.id not in self._done:
                try:
                    self._write(rollout)
                except MlopsRayError as error:
                    _log.warning("post-mortem of %s: %s; tried again", rollout.id, error)
                except Exception:  # noqa: BLE001 - the border of one rollout to the others
                    _log.exception("post-mortem of %s cannot be written", rollout.id)
                    self._done.add(rollout.id)
                else:
                    self._done.add(rollout.id)

    def _write(self, rollout: RolloutRecord) -> None:
        folder = _folder(rollout.model, rollout.id)
        if self._lake.exists(f"{folder}/{_REPORT}"):
            return
        record = self._store.model(rollout.model)
        if record is None:
            return
        spec = ModelSpec.model_validate_json(record.spec_json)
        failed = _failed(RecordLog(self._lake, rollout.model), spec, rollout)
        report = _report(self._store, spec, rollout, failed)
        if failed.num_rows:
            sink = io.BytesIO()
            pq.write_table(failed.slice(0, _FAILED_ROWS), sink, compression="zstd")
            self._lake.write_bytes(f"{folder}/failed.parquet", sink.getvalue())
        self._lake.write_bytes(f"{folder}/README.md", postmortem_text(report).encode())
        # Last: a folder with a report is whole.
        self._lake.write_bytes(f"{folder}/{_REPORT}", json.dumps(report, indent=1, default=str).encode())
        payload = {"uri": self._lake.uri_of(folder), "reason": report["reason"]}
        with self._store.change(Event("rollout.postmortem", rollout.id, payload, "control", self._clock())) as change:
            if self._store.events(subject=rollout.id, kind="rollout.postmortem", limit=1):
                change.skip()


def read_postmortem(workspace: Workspace, store: Store, model: str, rollout_id: str | None) -> dict[str, Any]:
    """The report of one rolled back rollout of a model, the newest by default, and where its folder is.

    Raises:
        NotFoundError: no such rollout, or it has no bundle (yet).
    """
    ended = [r for r in store.rollouts(model) if r.phase == Phase.ROLLED_BACK]
    chosen = [r for r in ended if rollout_id in (None, r.id)]
    if not chosen:
        known = ", ".join(r.id for r in ended) or "none"
        raise NotFoundError(f"model {model!r} has no rollout {rollout_id or ''} that was rolled back; there is {known}")
    lake, folder = Lake(workspace.lake), _folder(model, chosen[-1].id)
    if not lake.exists(f"{folder}/{_REPORT}"):
        raise NotFoundError(
            f"rollout {chosen[-1].id!r} has no post-mortem yet; the control actor writes it, seconds later"
        )
    report: dict[str, Any] = json.loads(lake.read_bytes(f"{folder}/{_REPORT}"))
    return {**report, "uri": lake.uri_of(folder)}


def postmortem_text(report: Mapping[str, Any]) -> str:
    """The report as a page of Markdown."""
    history = "\n".join(
        f"| {mark['at_s'] - report['began_s']:.1f} | {mark['phase']} | {mark['share']:g} | {mark['reason']} |"
        for mark in report["history"]
    )
    verdicts = "\n".join(f"- **{v['verdict']}** {v['message']}" for v in report["verdicts"])
    errors = "\n".join(f"- {count} x {message}" for message, count in report["errors"].items()) or "- none"
    return f"""# {report["model"]} version {report["version"]} was rolled back

{report["reason"]}

Rollout `{report["rollout"]}`, beside champion version {report["champion"]}; trained on {report["dataset"]}, run
`{report["run_id"]}`, digest `{report["digest"]}` (in quarantine until approved anew).

| s | phase | share | why |
|---|---|---|---|
{history}

## Verdicts at the end
{verdicts}

## Errors of the version
{errors}

The newest rows of failed or slow requests, up to {_FAILED_ROWS} of the {report["failed_rows"]} that were looked at, lie
in `failed.parquet`.
"""


def _folder(model: str, rollout_id: str) -> str:
    return f"postmortems/{model}/{rollout_id}"


def _failed(log: RecordLog, spec: ModelSpec, rollout: RolloutRecord) -> pa.Table:
    """The newest rows of requests that the version was to answer, and failed or was slow at.

    Read file by file from the end of the rollout: weeks of traffic fit no memory.
    """
    ours = (pc.field("canary") == rollout.version) & pc.field("assigned").isin(["canary", "shadow"])
    slow = pc.field("queue_ms") + pc.field("predict_ms") > spec.serve.latency_objective_ms
    bad = ours & (pc.field("time_s") >= rollout.created_s) & (pc.field("error").is_valid() | slow)
    tables: list[pa.Table] = []
    for path in log.served_files(rollout.created_s)[::-1][:_FILES]:
        tables.append(log.served_in(path).filter(bad))
        if sum(table.num_rows for table in tables) >= _FAILED_ROWS:
            break
    return (
        pa.concat_tables(tables[::-1], promote_options="permissive")
        if tables
        else served_schema(pa.struct([])).empty_table()
    )


def _report(store: Store, spec: ModelSpec, rollout: RolloutRecord, failed: pa.Table) -> dict[str, Any]:
    state, _ = load_state(rollout)
    assessment = assess(state.evidence, spec.rollout)
    version = store.model_version(rollout.model, rollout.version)
    errors = Counter(error for error in failed["error"].to_pylist() if error is not None)
    alerts = [a for a in store.alerts(rollout.model) if rollout.created_s <= a.at_s <= rollout.updated_s]
    return {
        "model": rollout.model,
        "version": rollout.version,
        "digest": version.digest,
        "champion": rollout.previous,
        "rollout": rollout.id,
        "reason": state.reason,
        "began_s": rollout.created_s,
        "ended_s": rollout.updated_s,
        "history": [mark.__dict__ for mark in state.history],
        "verdicts": [{"name": m.name, "verdict": m.verdict.value, "message": m.message} for m in assessment.metrics],
        "warnings": list(assessment.warnings),
        "evidence": state.evidence.to_json(),
        "errors": dict(errors.most_common(_COMMON_ERRORS)),
        "failed_rows": failed.num_rows,
        "dataset": version.dataset,
        "run_id": version.run_id,
        "bundle_uri": version.bundle_uri,
        "code": dict(version.code),
        "spec": spec.rollout.model_dump(mode="json"),
        "alerts": [{"id": a.id, "kind": a.kind, "message": a.message} for a in alerts],
        "events": [{"seq": e.seq, "at_s": e.at_s, "kind": e.kind} for e in store.events(subject=rollout.id)],
    }
