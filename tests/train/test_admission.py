from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_ray.errors import TrainError
from mlops_ray.spec import Train
from mlops_ray.train.admission import NodeGroup, concurrent_trials


def train(cpus: float = 1, gpus: float = 0, **section: Any) -> Train:
    return Train.model_validate({"resources": {"cpus": cpus, "gpus": gpus}, "max_concurrent": 100, **section})


@pytest.mark.parametrize(
    ("asked", "nodes", "expected"),
    [
        (train(), [NodeGroup(1, 6, 0)], 6),
        (train(max_concurrent=2), [NodeGroup(1, 6, 0)], 2),
        (train(cpus=4), [NodeGroup(2, 6, 0)], 2),  # 12 CPUs, and yet no room for three
        (train(workers=2), [NodeGroup(1, 6, 0)], 3),
        (train(workers=4), [NodeGroup(1, 6, 0)], 1),
        (train(cpus=0.1), [NodeGroup(1, 1, 0)], 10),
        (train(gpus=0.5), [NodeGroup(1, 16, 2)], 4),
        (train(gpus=0.4), [NodeGroup(1, 16, 2)], 4),  # 2 on each GPU; a third part of each is left
        (train(gpus=2, workers=2), [NodeGroup(3, 16, 4)], 3),
        (train(cpus=0, gpus=1), [NodeGroup(1, 0, 1), NodeGroup(4, 8, 0)], 1),
        (train(cpus=0), [NodeGroup(1, 1, 0)], 100),
        (train(workers=8), [NodeGroup(1, 2, 0), NodeGroup(10, 4, 0)], 5),  # nodes that the autoscaler may start
    ],
)
def test_as_many_trials_run_as_all_have_room_for_their_workers(
    asked: Train, nodes: list[NodeGroup], expected: int
) -> None:
    assert concurrent_trials(asked, nodes) == expected


@pytest.mark.parametrize(
    ("asked", "nodes"),
    [
        (train(cpus=8), [NodeGroup(2, 6, 0)]),
        (train(gpus=1), [NodeGroup(2, 6, 0)]),
        (train(workers=7), [NodeGroup(1, 6, 0)]),
        (train(), []),
    ],
)
def test_a_trial_without_room_is_refused_before_it_waits_for_ever(asked: Train, nodes: list[NodeGroup]) -> None:
    with pytest.raises(TrainError, match=r"a trial needs . workers of .* and the cluster has room for"):
        concurrent_trials(asked, nodes)


def test_a_fraction_of_several_gpus_is_refused() -> None:
    with pytest.raises(TrainError, match=r"resources.gpus: expected a fraction below 1 or a whole number, found 1.5"):
        concurrent_trials(train(gpus=1.5), [NodeGroup(1, 16, 8)])


@given(
    cpus=st.sampled_from([0.5, 1, 2, 3]),
    workers=st.integers(1, 5),
    nodes=st.lists(st.builds(NodeGroup, count=st.integers(1, 3), cpus=st.integers(1, 8), gpus=st.just(0)), max_size=4),
)
def test_what_is_admitted_never_asks_for_more_than_there_is(cpus: float, workers: int, nodes: list[NodeGroup]) -> None:
    try:
        trials = concurrent_trials(train(cpus=cpus, workers=workers), nodes)
    except TrainError:
        return
    assert trials >= 1
    assert trials * workers * cpus <= sum(node.count * node.cpus for node in nodes)
