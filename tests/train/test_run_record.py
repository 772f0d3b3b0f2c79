from mlops_ray.spec import Workspace
from mlops_ray.train.run_record import costs, run_section, sources
from mlops_ray.train.sweep_log import TrialLog
from tests.train.conftest import spec_of

TRIALS = [TrialLog(1, "a", {}, seconds=1800.0), TrialLog(2, "b", {}, seconds=1800.0)]


def test_device_seconds_and_money_are_those_of_all_trials() -> None:
    spec = spec_of(train={"resources": {"cpus": 4, "gpus": 0.5}})
    workspace = Workspace.at("/x", price_cpu_hour="0.1", price_gpu_hour="2")
    found = costs(spec, workspace, TRIALS, wall_s=2000.0)
    assert found == {"wall_s": 2000.0, "cpu_s": 14400.0, "gpu_s": 1800.0, "cost": 4 * 0.1 + 0.5 * 2}


def test_without_a_price_nothing_is_said_of_money() -> None:
    took = costs(spec_of(), Workspace.at("/x"), TRIALS, wall_s=2000.0)
    host = {"platform": "Linux", "host_cpus": 2, "host_memory_bytes": 2**30, "nodes": 1}
    versions = {"ray": "2", "torch": "2", "cuda": None, "driver": None}
    text = run_section({"sweep": "s", "trial": "t", "costs": took, "environment": host | versions})
    assert "2000.0 s, 3600.0 CPU seconds. Linux" in text
    assert "cost" not in text


def test_the_users_own_module_is_part_of_the_code() -> None:
    ours, own = sources("lightgbm"), sources("tests.train.test_trainers:own")
    assert ours["trainer"] is None
    assert own["mlops_ray"] == ours["mlops_ray"]
    assert len(own["trainer"] or "") == 64
