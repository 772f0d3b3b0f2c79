"""Several drift actors share the models of a workspace: each model has one, the same in every process."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_ray.monitor.drift_actor import DriftWatch
from mlops_ray.spec import DRIFT_ACTOR, Workspace
from mlops_ray.store import Event, ModelRecord, Store
from tests.monitor.samples import toy_spec

NAMES = [f"model_{i}" for i in range(200)]


def of(shards: int) -> Workspace:
    return Workspace.at("/nowhere").model_copy(update={"drift_shards": shards})


@given(shards=st.integers(1, 64), model=st.text(min_size=1))
def test_a_model_belongs_to_one_of_the_actors(shards: int, model: str) -> None:
    workspace = of(shards)
    assert len(set(workspace.drift_actors)) == shards
    assert workspace.drift_actor_of(model) in workspace.drift_actors


def test_one_shard_keeps_the_name_it_always_had_and_many_share_the_models() -> None:
    assert {of(1).drift_actor_of(name) for name in NAMES} == {DRIFT_ACTOR}
    several = of(4)
    counts = [sum(several.drift_actor_of(name) == actor for name in NAMES) for actor in several.drift_actors]
    assert min(counts) > 25


def test_each_actor_looks_at_its_own_models_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = Workspace.at(tmp_path / "home", lake=str(tmp_path / "lake")).model_copy(update={"drift_shards": 3})
    store = Store(workspace.store)
    store.create()
    for name in NAMES[:12]:
        spec = toy_spec().model_copy(update={"name": name})
        with store.change(Event("model.registered", name, {}, "test", 0.0)) as change:
            change.put_model(ModelRecord(name, spec.model_dump_json(), 0.0))
    looked_at: dict[str, set[str]] = {}
    monkeypatch.setattr("threading.Thread.start", lambda _: None)
    for actor in workspace.drift_actors:
        watch, seen = DriftWatch(workspace.model_dump_json(), actor), set[str]()

        def once(name: str, seen: set[str] = seen) -> None:
            seen.add(name)

        watch.look(once)
        looked_at[actor] = seen
    assert set().union(*looked_at.values()) == set(NAMES[:12])
    assert sum(len(seen) for seen in looked_at.values()) == 12
    assert all(workspace.drift_actor_of(name) == actor for actor, seen in looked_at.items() for name in seen)
