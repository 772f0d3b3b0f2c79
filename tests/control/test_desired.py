from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from mlops_ray.control.desired import desired_route, versions_kept, versions_wanted
from mlops_ray.control.rollout_record import begun
from mlops_ray.rollout import Phase, RolloutState, begin, moved
from mlops_ray.spec import Analysis
from mlops_ray.store import RolloutRecord, RouteRecord

FIRST = begin(0.0, analysis=Analysis(), needs_approval=False)
ROUTE = RouteRecord(
    model="toy", epoch=5, champion=2, canary=None, share=0.0, salt="", previous=1, updated_s=0.0
)  # version 2 took over from version 1
PHASES = st.sampled_from(list(Phase))


def rollout(*, previous: int | None = 2, route: RouteRecord | None = ROUTE) -> RolloutRecord:
    return begun("toy-v3", "toy", 3, previous=previous, route=route, state=FIRST)


def in_phase(phase: Phase) -> RolloutState:
    return moved(FIRST, phase, 1.0, "", share=0.1 if phase in (Phase.CANARY, Phase.PAUSED, Phase.PROMOTING) else 0.0)


def after(route: RouteRecord | None, record: RolloutRecord, phase: Phase) -> RouteRecord:
    found = desired_route(route, record, in_phase(phase), 9.0)
    assert found is not None
    return found


def test_nothing_changes_before_the_canary_has_a_share() -> None:
    assert desired_route(ROUTE, rollout(), in_phase(Phase.WAITING), 9.0) is None
    assert desired_route(ROUTE, rollout(), in_phase(Phase.STARTING), 9.0) is None


def test_the_canary_gets_its_share_with_a_salt_of_the_rollout() -> None:
    found = after(ROUTE, rollout(), Phase.CANARY)
    assert found == replace(ROUTE, epoch=6, canary=3, share=0.1, salt="toy-v3", updated_s=9.0)


def test_promoting_swaps_the_champion_and_remembers_the_one_before() -> None:
    found = after(after(ROUTE, rollout(), Phase.CANARY), rollout(), Phase.PROMOTING)
    assert (found.epoch, found.champion, found.canary, found.share, found.previous) == (7, 3, None, 0.0, 2)
    assert desired_route(found, rollout(), in_phase(Phase.COMPLETED), 9.0) is None


def test_a_withdrawn_canary_leaves_champion_and_previous_as_they_were() -> None:
    found = after(after(ROUTE, rollout(), Phase.CANARY), rollout(), Phase.ROLLING_BACK)
    assert (found.champion, found.canary, found.share, found.previous) == (2, None, 0.0, 1)


def test_a_withdrawn_promotion_puts_both_champions_back() -> None:
    found = after(after(ROUTE, rollout(), Phase.PROMOTING), rollout(), Phase.ROLLING_BACK)
    assert (found.champion, found.previous) == (2, 1)


def test_a_first_version_makes_the_first_route_and_leaves_none_behind() -> None:
    record = rollout(previous=None, route=None)
    found = after(None, record, Phase.PROMOTING)
    assert (found.epoch, found.champion, found.previous) == (1, 3, None)
    assert after(found, record, Phase.ROLLING_BACK).champion is None


@given(phases=st.lists(PHASES, max_size=8))
def test_what_was_done_is_not_done_again_and_epochs_grow_by_one(phases: list[Phase]) -> None:
    route, record = ROUTE, rollout()
    for phase in phases:
        found = desired_route(route, record, in_phase(phase), 9.0)
        assert found is None or found.epoch == route.epoch + 1
        route = found or route
        assert desired_route(route, record, in_phase(phase), 9.0) is None


@given(phases=st.lists(PHASES, max_size=8))
def test_however_it_came_there_a_withdrawn_rollout_leaves_the_route_it_found(phases: list[Phase]) -> None:
    route, record = ROUTE, rollout()
    for phase in [*phases, Phase.ROLLING_BACK]:
        route = desired_route(route, record, in_phase(phase), 9.0) or route
    assert (route.champion, route.canary, route.share, route.previous) == (2, None, 0.0, 1)


@given(phase=PHASES)
def test_whoever_has_a_share_has_an_application(phase: Phase) -> None:
    route = desired_route(ROUTE, rollout(), in_phase(phase), 9.0) or ROUTE
    wanted = versions_wanted(rollout(), phase)
    assert route.canary is None or route.canary in wanted
    assert wanted <= versions_kept(rollout(), phase)


@given(phase=PHASES)
def test_a_first_version_has_no_application_of_its_own(phase: Phase) -> None:
    record = rollout(previous=None, route=None)
    assert versions_wanted(record, phase) | versions_kept(record, phase) == set()


def test_the_application_stays_while_the_version_is_withdrawn() -> None:
    assert versions_wanted(rollout(), Phase.ROLLING_BACK) == set()
    assert versions_kept(rollout(), Phase.ROLLING_BACK) == {3}
    assert versions_kept(rollout(), Phase.ROLLED_BACK) == set()
