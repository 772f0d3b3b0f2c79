"""Values that the tests of this package draw."""

from hypothesis import strategies as st

from mlops_ray.rollout import Block, Measured, Moments, Observation, Stratum

SHARES = st.sampled_from([0.0, 0.05, 0.5, 1.0])
BINS = 4


@st.composite
def blocks(draw: st.DrawFn, largest: int = 500) -> Block:
    """Any block that can happen."""
    canary, champion = draw(st.integers(0, largest)), draw(st.integers(0, largest))
    errors, slow = draw(st.integers(0, canary)), draw(st.integers(0, canary))
    champion_errors, champion_slow = draw(st.integers(0, champion)), draw(st.integers(0, champion))
    paired = draw(st.integers(0, largest))
    return Block(
        canary_requests=canary,
        champion_requests=champion,
        canary_errors=errors,
        champion_errors=champion_errors,
        canary_slow=slow,
        champion_slow=champion_slow,
        canary_repeated_errors=draw(st.integers(0, canary - errors)),
        canary_repeated_slow=draw(st.integers(0, canary - slow)),
        champion_repeated_errors=draw(st.integers(0, champion - champion_errors)),
        champion_repeated_slow=draw(st.integers(0, champion - champion_slow)),
        quantiles={
            name: (draw(st.integers(0, canary)), draw(st.integers(0, champion)))
            for name in draw(st.sampled_from([(), ("p50",), ("p50", "p95")]))
        },
        timed=(canary, champion),
        scores=(draw(_bins(canary)), draw(_bins(champion))),
        paired=(paired, draw(st.integers(0, paired))),
        units=(draw(st.integers(0, largest)), draw(st.integers(0, largest))),
        share=draw(SHARES),
    )


def _bins(largest: int) -> st.SearchStrategy[tuple[int, ...]]:
    counts = st.integers(0, largest)
    return st.tuples(counts, counts, counts, counts)


def moments(largest: int = 10_000) -> st.SearchStrategy[Moments]:
    """The moments of some values."""
    numbers = st.floats(0, 1e6, allow_subnormal=False)
    return st.builds(Moments, st.integers(1, largest), numbers, numbers)


STRATA = st.lists(st.builds(Stratum, st.integers(1, 9), moments(), moments()), max_size=3).map(tuple)

MEASURED = st.builds(
    Measured,
    last=st.none() | st.floats(-1e9, 1e9),
    at_s=st.floats(0, 1e9),
    taken=st.integers(0, 9),
    missed=st.integers(0, 9),
    outside=st.integers(0, 9),
)

OBSERVATIONS = st.builds(
    Observation,
    approved=st.booleans(),
    canary_ready=st.booleans(),
    canary_failed=st.none() | st.none() | st.none() | st.just("out of memory"),
    promoted=st.booleans(),
    withdrawn=st.booleans(),
)
