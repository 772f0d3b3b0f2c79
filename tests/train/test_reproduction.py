import doctest
import time
from dataclasses import replace

import pytest

from mlops_ray.spec import Workspace
from mlops_ray.store import Event, ModelVersionRecord, Store
from mlops_ray.tracking import CodeVersion
from mlops_ray.train import Reproduction, reproduce_version, reproduction, run_training
from mlops_ray.verdict import Verdict
from tests.train.conftest import CODE, spec_of


def trained(workspace: Workspace, name: str, **train: object) -> ModelVersionRecord:
    return run_training(
        spec_of(name, train=train), workspace, actor="test", clock=time.time, code=CODE, progress=lambda _: None
    )


def again(workspace: Workspace, record: ModelVersionRecord, code: CodeVersion = CODE) -> Reproduction:
    return reproduce_version(
        Store(workspace.store),
        workspace,
        record.model,
        record.version,
        code=code,
        actor="test",
        clock=time.time,
        progress=lambda _: None,
    )


def with_record(workspace: Workspace, record: ModelVersionRecord, version: int, **training: object) -> None:
    """Put a version into the store whose record of the training was changed."""
    changed = replace(record, version=version, training={**record.training, **training} if training else {})
    with Store(workspace.store).change(Event("test.tampered", "x", {}, "test", 1.0)) as change:
        change.put_model_version(changed)


@pytest.fixture(scope="module")
def version(trained_workspace: Workspace) -> ModelVersionRecord:
    """The winner of three trials whose training draws lots."""
    space = {"num_leaves": {"int_uniform": [4, 8]}, "bagging_fraction": 0.5, "bagging_freq": 1}
    return trained(trained_workspace, "again", space=space)


def test_a_version_comes_out_equal_to_the_bit(trained_workspace: Workspace, version: ModelVersionRecord) -> None:
    found = again(trained_workspace, version)
    assert (found.verdict, found.bytes_equal, found.largest_difference) == (Verdict.PASS, True, 0.0)
    assert found.rows_compared > 100
    [event] = Store(trained_workspace.store).events(kind="model_version.reproduced", subject="again@1")
    assert event.payload["verdict"] == "PASS"


def test_a_record_with_another_seed_fails(trained_workspace: Workspace, version: ModelVersionRecord) -> None:
    with_record(trained_workspace, version, 901, seed=4)
    found = again(trained_workspace, replace(version, version=901))
    assert (found.verdict, found.bytes_equal) == (Verdict.FAIL, False)
    assert "with code, packages and data as they were" in found.reason


def test_another_result_under_other_packages_decides_nothing(
    trained_workspace: Workspace, version: ModelVersionRecord
) -> None:
    with_record(trained_workspace, version, 902, seed=5)
    found = again(trained_workspace, replace(version, version=902), replace(CODE, packages={"numpy": "3"}))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.differences == ("numpy was 2, is 3",)


def test_data_that_is_another_one_is_told_before_anything_is_trained(
    trained_workspace: Workspace, version: ModelVersionRecord
) -> None:
    dataset = {**version.training["dataset"], "digest": "0" * 64}
    with_record(trained_workspace, version, 903, dataset=dataset)
    found = again(trained_workspace, replace(version, version=903))
    assert (found.verdict, found.bytes_equal) == (Verdict.INCONCLUSIVE, None)
    assert "its data is another one" in found.reason


def test_a_version_from_before_there_were_records_says_so(
    trained_workspace: Workspace, version: ModelVersionRecord
) -> None:
    with_record(trained_workspace, version, 904)
    found = again(trained_workspace, replace(version, version=904))
    assert (found.verdict, found.reason) == (
        Verdict.INCONCLUSIVE,
        "it was registered before trainings were recorded",
    )


@pytest.mark.slow
def test_a_neural_network_comes_out_equal_to_the_bit(trained_workspace: Workspace) -> None:
    record = trained(trained_workspace, "net_again", trainer="torch", trials=1, max_iterations=3, space={"hidden": 16})
    found = again(trained_workspace, record)
    assert (found.verdict, found.largest_difference) == (Verdict.PASS, 0.0), found


def test_the_examples_are_right() -> None:
    assert doctest.testmod(reproduction).failed == 0
