from mlops_ray.control.own_key import own_key
from mlops_ray.store import Store, opens
from tests.control.world import World


def held(store: Store) -> list[str]:
    return [record.id for record in store.api_keys() if record.revoked_s is None]


def test_the_control_actor_has_one_key_that_opens_and_may_only_ask(world: World) -> None:
    key = own_key(world.store, now_s=1.0)
    record = world.store.api_keys()[-1]
    assert opens(key, record)
    assert record.roles == ("infer",)


def test_the_next_control_actor_revokes_the_key_of_the_one_before(world: World) -> None:
    first, second = own_key(world.store, now_s=1.0), own_key(world.store, now_s=2.0)
    records = {record.id: record for record in world.store.api_keys()}
    assert [opens(key, records[key.split("_")[1]]) for key in (first, second)] == [False, True]
    assert len(held(world.store)) == 1
    assert world.store.verify().verified
