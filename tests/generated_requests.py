"""Requests that schemathesis makes of a model's OpenAPI document, and what was wrong with the answers."""

import copy
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import schemathesis

# Loaded now, while no thread runs: pytest rewrites the plugin's modules, and two threads that parse at once break each
# other's parser ("AST constructor recursion depth mismatch" of CPython 3.11).
import schemathesis.specs.openapi.schemas
from hypothesis import strategies as st
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema

from mlops_ray.serve.arrow_rows import ARROW_STREAM

__all__ = ["Generated", "send_generated", "streams"]

Document = dict[str, Any]


@dataclass(frozen=True)
class Generated:
    """Requests that were sent: how many, their answers by status, and what was not as the document says."""

    cases: int
    statuses: Mapping[int, int]
    failures: tuple[str, ...]


def streams(*contents: bytes) -> None:
    """Where an Arrow stream is asked for, one of these is sent: bytes at random are no stream."""
    schemathesis.openapi.media_type(ARROW_STREAM.decode(), st.sampled_from(contents))


def send_generated(
    document: Document,
    *,
    examples: int,
    app: Any = None,
    base_url: str | None = None,
    key: str | None = None,
    thorough: bool = True,
) -> Generated:
    """Send what the document allows and what it forbids, to an ASGI application or to a server.

    `examples` are made at random for each operation; when `thorough`, others cover each keyword of its schemas.
    """
    config = _config(examples, base_url=base_url, key=key, thorough=thorough)
    schema = schemathesis.openapi.from_dict(_patient(document), config=config)
    schema.app = app
    cases, statuses, failures = 0, Counter[int](), dict[str, str]()
    for event in from_schema(schema).execute():
        if isinstance(event, events.FatalError | events.NonFatalError):
            failures[type(event).__name__] = repr(vars(event))
        if not isinstance(event, events.ScenarioFinished):
            continue
        recorder = event.recorder
        cases += len(recorder.interactions)
        statuses.update(sent.response.status_code for sent in recorder.interactions.values() if sent.response)
        for id, checks in recorder.checks.items():
            for failed in checks:
                info, sent = failed.failure_info, recorder.interactions[id]
                if info is None:
                    continue
                answer = sent.response.content[:300] if sent.response else b""
                what = f"{recorder.label}, {failed.name}: {info.failure.message}\n{info.code_sample[:2000]}\n{answer!r}"
                failures.setdefault(f"{recorder.label} {failed.name}", what)
    return Generated(cases, statuses, tuple(failures.values()))


def _patient(document: Document) -> Document:
    """The document without the ways to ask for a deadline: who waits for a microsecond is told 504, and rightly so."""
    changed = copy.deepcopy(document)
    for item in changed["paths"].values():
        for operation in (item[method] for method in ("get", "post") if method in item):
            kept = [p for p in operation.get("parameters", []) if p["name"] != "x-request-timeout-ms"]
            operation["parameters"] = kept
    del changed["components"]["schemas"]["InferRequest"]["properties"]["parameters"]["properties"]["timeout"]
    return changed


def _config(examples: int, *, base_url: str | None, key: str | None, thorough: bool) -> SchemathesisConfig:
    refused = [400, 401, 403, 404, 405, 413, 415, 422]
    return SchemathesisConfig.from_dict(
        {
            "seed": 1,
            "continue-on-failure": True,
            "generation": {"max-examples": examples, "database": "none"},
            "phases": {"stateful": {"enabled": False}, "coverage": {"enabled": thorough}},
            "checks": {
                "negative_data_rejection": {"expected-statuses": refused},
                # a body may have too many bytes for all that the schema says
                "positive_data_acceptance": {"expected-statuses": ["2xx", 404, 413]},
            },
            # no schema says that the shape of a tensor is that of its data
            "operations": [
                {"include-path-regex": "/infer$", "checks": {"positive_data_acceptance": {"enabled": False}}}
            ],
            **({"base-url": base_url} if base_url else {}),
            **({"auth": {"openapi": {"bearer": {"bearer": key}, "key": {"api_key": key}}}} if key else {}),
        }
    )
