"""On a real cluster: people steer a model over HTTP only, from its first delivery to its end."""

import time
from typing import Any

import pytest
import requests

from mlops_ray.control.operations import register
from mlops_ray.rollout import Phase
from mlops_ray.serve.hop_entrance import hop_path
from mlops_ray.spec import Workspace
from tests.e2e.toy import Toy, until

pytestmark = pytest.mark.slow

_TIMEOUT_S = 30.0
FOR_EVER = {"min_s": 3600, "max_s": 7200}


def test_a_model_is_steered_over_http_from_its_first_delivery_to_its_end(live: Workspace) -> None:
    toy = Toy(live, "steered", rollout={"steps": [{"share": 0.5, **FOR_EVER}]})
    register(toy.store, toy.spec, actor="test", now_s=time.time())
    base = f"{live.serve}/v2/admin/models/{toy.name}"

    def order(action: str, **content: Any) -> Any:
        answer = requests.post(f"{base}/{action}", json={"by": "ada", **content}, timeout=_TIMEOUT_S)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def shown() -> Any:
        return requests.get(base, timeout=_TIMEOUT_S).json()

    def phase(rollout: str) -> str:
        return next(str(r["phase"]) for r in shown()["rollouts"] if r["id"] == rollout)

    first = order("deploy", version=toy.add_version())["id"]
    until(lambda: phase(first) == Phase.COMPLETED, "the first champion", timeout_s=90)
    second = order("deploy", version=toy.add_version())["id"]
    until(lambda: phase(second) == Phase.CANARY, "the canary", timeout_s=90)
    # What the front door sends to a canary over HTTP is not for others.
    hop = requests.post(f"{live.serve}{hop_path(toy.name, 2)}", data=b"", timeout=_TIMEOUT_S)
    assert (hop.status_code, "front door of the model only" in hop.json()["error"]) == (403, True)
    analysis = requests.get(f"{base}/analysis", timeout=_TIMEOUT_S).json()
    assert (analysis["rollout"], analysis["share"]) == (second, 0.5)
    assert order("pause")["phase"] == Phase.PAUSED
    order("promote", reason="seen enough")
    until(lambda: phase(second) == Phase.COMPLETED, "the promotion", timeout_s=90)
    assert shown()["champion"] == 2
    assert order("rollback", reason="complaints")["champion"] == 1
    assert order("undeploy")["champion"] is None
    told = [(event.kind, event.actor) for event in toy.store.events(subject=second) if event.actor == "ada"]
    assert told == [("rollout.begun", "ada"), ("rollout.pause", "ada"), ("rollout.promote", "ada")]
