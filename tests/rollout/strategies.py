"""Values that the tests of this package draw."""

from hypothesis import strategies as st

from mlops_ray.rollout import Block, Observation


@st.composite
def blocks(draw: st.DrawFn, largest: int = 500) -> Block:
    """Any block that can happen."""
    canary, champion = draw(st.integers(0, largest)), draw(st.integers(0, largest))
    return Block(
        canary_requests=canary,
        champion_requests=champion,
        canary_errors=draw(st.integers(0, canary)),
        champion_errors=draw(st.integers(0, champion)),
        canary_slow=draw(st.integers(0, canary)),
        champion_slow=draw(st.integers(0, champion)),
    )


OBSERVATIONS = st.builds(
    Observation,
    approved=st.booleans(),
    canary_ready=st.booleans(),
    canary_failed=st.none() | st.none() | st.none() | st.just("out of memory"),
    promoted=st.booleans(),
    withdrawn=st.booleans(),
)
