"""What `mlops-ray report` and `mlops-ray explain` do: a report of a window or an alert, and why an answer was given."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import pyarrow as pa

from mlops_ray.control.lineage import find_request
from mlops_ray.control.operations import stored_spec
from mlops_ray.errors import ClusterError, ModelError, NotFoundError, SpecError
from mlops_ray.model import encode, load_explainer
from mlops_ray.reports import ReportOrder, ReportResult, ReportTasks, alert_order, window_order
from mlops_ray.spec import Workspace
from mlops_ray.store import Store

__all__ = ["explain_request", "explanation_text", "make_now", "report_order", "since_of"]

_SPAN = re.compile(r"(\d+(?:\.\d+)?)(s|m|h|d)?")
_SECONDS = {None: 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_LONGEST_S = 600.0


def since_of(text: str, now_s: float) -> float:
    """When a span of time begins: `90`, `30m`, `2h`, `1d` back from now, or an ISO 8601 time.

    Raises:
        SpecError: it is neither.

    >>> since_of("2h", 10_000.0), since_of("1970-01-01T00:01:00+00:00", 0.0)
    (2800.0, 60.0)
    """
    span = _SPAN.fullmatch(text)
    if span is not None:
        return now_s - float(span[1]) * _SECONDS[span[2]]
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise SpecError(f"expected a time like 30m, 2h, 1d or 2026-11-29T12:00:00+00:00, found {text!r}") from None


def report_order(
    store: Store, workspace: Workspace, model: str, *, since: str | None, alert: str | None, now_s: float
) -> ReportOrder:
    """The report on an alert, or else on what the champion answered since a time (the spec's window by default).

    Raises:
        NotFoundError: no such model, alert or champion.
        SpecError: `since` is no time.
    """
    spec = stored_spec(store, model)
    if alert is not None:
        found = store.alert(alert)
        if found.model != model or found.version is None:
            raise NotFoundError(f"alert {alert!r} is of model {found.model!r}, and of no version of {model!r}")
        return alert_order(spec, workspace, store.model_version(model, found.version), found)
    champion = store.champion(model)
    if champion is None:
        raise NotFoundError(f"model {model!r} has no champion yet: nothing was served")
    since_s = now_s - spec.monitor.window.size_s if since is None else since_of(since, now_s)
    return window_order(spec, workspace, champion, since_s=since_s, until_s=now_s)


def make_now(order: ReportOrder, tasks: ReportTasks) -> ReportResult:
    """Have a report made, and wait for it.

    Raises:
        ClusterError: it took longer than ten minutes.
        MlopsRayError: it cannot be made.
    """
    task = tasks.start(order)
    result = tasks.result(task, wait_s=_LONGEST_S)
    if result is None:
        tasks.cancel(task)
        raise ClusterError(f"the report was not made within {_LONGEST_S:g} s; has the cluster a free CPU?")
    return result


def explain_request(store: Store, workspace: Workspace, request_id: str) -> dict[str, Any]:
    """Why a served request got its answer: the version that answered, loaded here, explains its recorded first row.

    Raises:
        NotFoundError: no such request.
        ModelError: its features were not kept, or the model cannot be explained.
    """
    found = find_request(store, workspace, request_id)
    version = store.model_version(found["model"], found["version"])
    bundle, explainer = load_explainer(version.bundle_uri, digest=version.digest)
    features: Mapping[str, Any] = found["features"] or {}
    columns = {column.name: [features.get(column.name)] for column in bundle.signature.inputs}
    missing = [c.name for c in bundle.signature.inputs if not c.nullable and columns[c.name][0] is None]
    if missing:
        raise ModelError(f"request {request_id!r} cannot be explained: its record does not hold {missing[0]!r}")
    explanation = explainer.explain(encode(bundle.signature, pa.table(columns)))
    said = {"request_id": request_id, "model_name": version.model, "model_version": str(version.version)}
    return {**said, **explanation.how(), "explanations": [explanation.of_row(bundle.signature, 0)]}


def explanation_text(content: Mapping[str, Any]) -> str:
    """An answer of `explain` for people: the largest contribution first."""
    head = f"{content['model_name']} v{content['model_version']}, {content['method']}, in {content['scale']}"
    lines = [head if content["exact"] else f"{head} (an estimate)"]
    for i, each in enumerate(content["explanations"]):
        of_class = f" of class {each['class']}" if "class" in each else ""
        lines.append(f"row {i}: score{of_class} {each['score']:.6g}, from {each['base']:.6g} for no row in particular")
        ordered = sorted(each["contributions"].items(), key=lambda item: -abs(item[1]))
        errors = each.get("standard_errors", {})
        lines += [f"  {value:+12.6g}{_give_or_take(errors.get(name))}  {name}" for name, value in ordered]
    return "\n".join(lines)


def _give_or_take(error: float | None) -> str:
    return "" if error is None else f" +-{error:.2g}"
