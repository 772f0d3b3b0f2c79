"""The KubeRay manifests against what the resources may hold, and against Ray's own reading of them."""

from pathlib import Path
from typing import Any

import jsonschema
import pytest
import ray
import yaml
from ray.autoscaler._private.kuberay.autoscaling_config import _derive_autoscaling_config_from_ray_cr

MANIFESTS = sorted((Path(__file__).parents[2] / "cluster" / "kuberay").glob("*.yaml"))
CLUSTER_KEY = {"RayJob": "rayClusterSpec", "RayService": "rayClusterConfig"}


def load(path: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return manifest


def cluster_spec(manifest: dict[str, Any]) -> dict[str, Any]:
    key = CLUSTER_KEY.get(manifest["kind"])
    spec: dict[str, Any] = manifest["spec"][key] if key else manifest["spec"]
    return spec


@pytest.fixture(scope="module")
def schema() -> jsonschema.Draft202012Validator:
    content = yaml.safe_load((Path(__file__).parent / "kuberay_schema.yaml").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(content)
    return jsonschema.Draft202012Validator(content)


def test_there_is_a_manifest_of_each_kind() -> None:
    assert {load(path)["kind"] for path in MANIFESTS} == {"RayCluster", "RayJob", "RayService"}


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_a_manifest_has_only_fields_that_kuberay_knows(path: Path, schema: jsonschema.Draft202012Validator) -> None:
    assert [error.message for error in schema.iter_errors(load(path))] == []


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
@pytest.mark.parametrize("misspelt", [{"workerGroupSpec": []}, {"rayVersion": 2.6}, {"headGroupSpec": {}}])
def test_the_schema_refuses_what_kuberay_would(
    path: Path, misspelt: dict[str, Any], schema: jsonschema.Draft202012Validator
) -> None:
    manifest = load(path)
    cluster_spec(manifest).update(misspelt)
    assert not schema.is_valid(manifest)


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_the_ray_version_is_the_one_this_package_runs_on(path: Path) -> None:
    assert cluster_spec(load(path))["rayVersion"] == ray.__version__


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_rays_autoscaler_reads_the_node_groups(path: Path) -> None:
    manifest = load(path)
    resource = {"metadata": {"name": "any", "namespace": "default"}, "spec": cluster_spec(manifest)}
    groups = _derive_autoscaling_config_from_ray_cr(resource)["available_node_types"]
    assert groups["headgroup"]["resources"]["CPU"] == 1
    assert groups["cpu"]["resources"]["CPU"] == 4
    assert groups["cpu"]["max_workers"] > groups["cpu"]["min_workers"] >= 1


def test_gpu_workers_come_and_go() -> None:
    manifest = load(next(path for path in MANIFESTS if path.stem == "raycluster"))
    resource = {"metadata": {"name": "any", "namespace": "default"}, "spec": cluster_spec(manifest)}
    gpu = _derive_autoscaling_config_from_ray_cr(resource)["available_node_types"]["gpu"]
    assert (gpu["resources"]["GPU"], gpu["min_workers"]) == (1, 0)
    assert gpu["max_workers"] > 0


def test_the_service_declares_applications_that_serve_accepts() -> None:
    from ray.serve.schema import ServeDeploySchema

    manifest = load(next(path for path in MANIFESTS if path.stem == "rayservice"))
    declared = ServeDeploySchema.model_validate(yaml.safe_load(manifest["spec"]["serveConfigV2"]))
    assert [application.route_prefix for application in declared.applications] == ["/"]
