"""The YAML files of `ray up` against Ray's own schema."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

FOLDER = Path(__file__).parents[2] / "cluster"
FILES = ("local.yaml", "aws-gpu.yaml", "on-prem.yaml")


def load(name: str) -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load((FOLDER / name).read_text(encoding="utf-8"))
    return config


@pytest.mark.parametrize("name", FILES)
def test_ray_accepts_the_file(name: str) -> None:
    validate_config(prepare_config(load(name)))


def test_every_cluster_file_is_tested() -> None:
    assert {path.name for path in FOLDER.glob("*.yaml")} == set(FILES)


@pytest.mark.parametrize("name", ["aws-gpu.yaml", "on-prem.yaml"])
def test_what_is_copied_to_the_nodes_is_in_the_repository(name: str) -> None:
    secret = "cluster/workspace.env"
    copied = set(load(name)["file_mounts"].values())
    assert secret in copied
    assert [source for source in copied - {secret} if not (FOLDER.parent / source).exists()] == []
    assert (FOLDER / "workspace.env.example").exists()


def test_gpu_workers_on_aws_are_spot_machines_that_come_when_needed() -> None:
    types = load("aws-gpu.yaml")["available_node_types"]
    gpu = [entry for entry in types.values() if entry["resources"].get("GPU")]
    assert gpu
    assert all(entry["min_workers"] == 0 < entry["max_workers"] for entry in gpu)
    assert all(entry["node_config"]["InstanceMarketOptions"]["MarketType"] == "spot" for entry in gpu)
    assert "GPU" not in types["head"]["resources"]


def test_the_local_cluster_has_room_for_a_sweep_on_two_nodes() -> None:
    config = load("local.yaml")
    head, worker = config["available_node_types"]["head"], config["available_node_types"]["worker"]
    assert (head["resources"]["CPU"], worker["resources"]["CPU"], worker["min_workers"]) == (2, 2, 1)
    for commands in (config["head_start_ray_commands"], config["worker_start_ray_commands"]):
        start = commands[-1]
        assert "--num-cpus=2" in start
        assert "RAY_SERVE_ENABLE_HA_PROXY=1 RAY_SERVE_THROUGHPUT_OPTIMIZED=1" in start
        assert "MLOPS_RAY_HOME" in start


def test_the_environment_example_names_only_variables_that_are_read() -> None:
    from mlops_ray.spec import Workspace

    lines = (FOLDER / "workspace.env.example").read_text(encoding="utf-8").splitlines()
    names = [line.lstrip("#").split("=")[0] for line in lines if "=" in line and " " not in line.split("=")[0]]
    ours = {f"MLOPS_RAY_{field.upper()}" for field in Workspace.model_fields}
    assert {name for name in names if name.startswith("MLOPS_RAY_")} <= ours
