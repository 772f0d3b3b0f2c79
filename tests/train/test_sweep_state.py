import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from mlops_ray.data import DatasetVersion
from mlops_ray.errors import ConflictError, NotFoundError, TrainError
from mlops_ray.lake import Lake
from mlops_ray.spec import Workspace
from mlops_ray.train.sweep_state import SweepState, find_sweep, save_sweep, spec_digest, sweep_lock
from tests.train.conftest import spec_of

SPEC = spec_of()
DATASET = DatasetVersion("tests.churn", 2, "99", None, 9, 9, 0, None, "e" * 64, {}, (), 0.0)
STATE = SweepState("churn-1", "churn", DATASET.ref, "99", "e" * 64, spec_digest(SPEC), 3, None, "test", 1.0)


def test_a_state_comes_back_as_it_was_written(tmp_path: Path) -> None:
    save_sweep(Lake(str(tmp_path)), STATE)
    assert find_sweep(Lake(str(tmp_path)), "churn", "churn-1") == STATE


def test_without_a_name_the_newest_that_did_not_end_is_found(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path))
    save_sweep(lake, replace(STATE, sweep="old"))
    save_sweep(lake, replace(STATE, sweep="new", created_s=2.0))
    save_sweep(lake, replace(STATE, sweep="done", created_s=3.0, phase="registered", version=1))
    assert find_sweep(lake, "churn", None).sweep == "new"


def test_where_there_is_none_the_known_ones_are_named(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path))
    with pytest.raises(NotFoundError, match="no unfinished sweep to resume; its sweeps: none yet"):
        find_sweep(lake, "churn", None)
    save_sweep(lake, STATE.ended("registered", 4))
    with pytest.raises(NotFoundError, match=r"no sweep 'x' to resume; its sweeps: churn-1 \(registered\)"):
        find_sweep(lake, "churn", "x")


def test_the_same_spec_and_data_are_taken() -> None:
    STATE.check(spec_of(approval={"required": 1}), DATASET)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (STATE.ended("registered", 4), "is at its end: it made version 4"),
        (STATE.ended("failed"), "is at its end: it failed"),
        (replace(STATE, spec_digest="0"), "other `data` or `train` sections"),
        (replace(STATE, snapshot_id="98"), r"was begun on tests.churn@v2 \(snapshot 98\), found .* \(snapshot 99\)"),
    ],
)
def test_what_cannot_be_gone_on_with_is_refused(state: SweepState, message: str) -> None:
    with pytest.raises(TrainError, match=message):
        state.check(SPEC, DATASET)


def test_only_what_shapes_a_sweep_is_in_its_digest() -> None:
    assert spec_digest(spec_of(approval={"required": 1})) == spec_digest(SPEC)
    assert spec_digest(spec_of(train={"seed": 4})) != spec_digest(SPEC)


def test_a_sweep_has_one_driver_at_a_time(workspace: Workspace) -> None:
    script = (
        "import sys\nfrom mlops_ray.spec import Workspace\nfrom mlops_ray.train.sweep_state import sweep_lock\n"
        "with sweep_lock(Workspace.at(sys.argv[1]), 's'):\n    print('held', flush=True)\n    sys.stdin.read()"
    )
    command = [sys.executable, "-c", script, workspace.home]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(ConflictError, match="sweep s is running in another process"), sweep_lock(workspace, "s"):
            pass
        other.kill()
    with sweep_lock(workspace, "s"):
        pass
