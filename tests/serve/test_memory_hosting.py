from mlops_ray.serve.application import version_scaling
from mlops_ray.serve.memory_hosting import MemoryHosting
from mlops_ray.spec import ModelSpec, parse_spec
from mlops_ray.store import RouteRecord
from tests.serve.samples import MODEL, SPEC, route


def up(route_of: RouteRecord) -> tuple[MemoryHosting, list[RouteRecord]]:
    """A front door that is up, and the routes of its store, the last one being the present."""
    routes = [route_of]
    hosting = MemoryHosting(lambda _: routes[-1], looks=1)
    hosting.open_front(spec())
    hosting.statuses()
    return hosting, routes


def spec(**serve: int) -> ModelSpec:
    return parse_spec(SPEC).model_copy(update={"serve": parse_spec(SPEC).serve.model_copy(update=serve)})


def test_replicas_that_do_not_swap_keep_what_they_hold_until_they_are_renewed() -> None:
    hosting, routes = up(route(1, 1))
    hosting.swaps = False
    routes.append(route(2, 2))
    assert {held.champion for held in hosting.push(routes[-1])} == {1}
    hosting.renew_front(spec())
    assert {held.champion for held in hosting.applied(MODEL)} == {1}, "the old ones go on until the new ones are up"
    assert hosting.statuses()[MODEL].ready
    assert {held.champion for held in hosting.applied(MODEL)} == {2}
    assert (hosting.renewed, hosting.opened) == ([MODEL], [MODEL])


def test_a_replica_says_which_serve_section_it_was_started_with() -> None:
    hosting, _ = up(route(1, 1))
    assert {held.front_digest for held in hosting.applied(MODEL)} == {spec().front_digest}
    hosting.renew_front(spec(max_rows=49))
    hosting.statuses()
    assert {held.front_digest for held in hosting.applied(MODEL)} == {spec(max_rows=49).front_digest}


def test_a_renewal_that_fails_leaves_the_replicas_there_are() -> None:
    hosting, _ = up(route(1, 1))
    hosting.cannot_start[MODEL] = "no memory"
    hosting.renew_front(spec())
    assert hosting.statuses()[MODEL].failed == "no memory"
    assert len(hosting.applied(MODEL)) == hosting.replicas


def test_what_a_replica_holds_names_its_share_and_mirror() -> None:
    hosting, _ = up(route(1, 1))
    (first, _) = hosting.push(route(2, 1, canary=2, share=0.25, mirror=0.5))
    assert (first.canary, first.share, first.mirror) == (2, 0.25, 0.5)


def test_deaths_are_those_it_was_told_of() -> None:
    hosting, _ = up(route(1, 1))
    hosting.died["shop-v2"] = 2
    assert (hosting.deaths("shop-v2"), hosting.deaths("shop-v3")) == (2, 0)


def test_a_version_that_takes_all_of_the_traffic_at_once_has_the_champions_replicas() -> None:
    text = SPEC + "\n".join(["rollout: {strategy: %s}", ""])
    scaling = {"autoscaling": "{min_replicas: 3, max_replicas: 5}", "canary_autoscaling": "{max_replicas: 2}"}
    sections = ", ".join(f"{name}: {section}" for name, section in scaling.items())
    text = text.replace("serve: {", f"serve: {{{sections}, ")
    assert version_scaling(parse_spec(text % "blue-green")).max_replicas == 5
    assert version_scaling(parse_spec(text % "canary")).max_replicas == 2
