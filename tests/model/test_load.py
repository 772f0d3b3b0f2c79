import json
import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import lightgbm
import numpy as np
import pytest

from mlops_ray.drift import ReferenceProfile
from mlops_ray.errors import ModelError
from mlops_ray.lake import Lake
from mlops_ray.model import Manifest, TrainedModel, load_bundle, publish_bundle
from tests.model.conftest import SIGNATURE, sample

Write = Callable[[TrainedModel], tuple[Path, Manifest]]


class Code:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


def test_a_published_bundle_loads_with_all_it_was_written_with(
    write: Write, lightgbm_model: TrainedModel, booster: lightgbm.Booster, reference: ReferenceProfile, tmp_path: Path
) -> None:
    folder, manifest = write(lightgbm_model)
    uri = publish_bundle(folder, Lake((tmp_path / "lake").as_uri()), "churn")
    bundle = load_bundle(uri)
    assert (bundle.manifest, bundle.signature, bundle.reference, bundle.uri) == (manifest, SIGNATURE, reference, uri)
    np.testing.assert_allclose(bundle.predict(sample()), booster.predict(sample()), atol=1e-12)


def test_a_plain_folder_loads(write: Write, python_model: TrainedModel) -> None:
    folder, _ = write(python_model)
    assert load_bundle(str(folder)).predict(np.ones((2, 4))).tolist() == [2.0, 2.0]


def test_a_bundle_with_the_digest_it_was_registered_with_loads(write: Write, lightgbm_model: TrainedModel) -> None:
    folder, manifest = write(lightgbm_model)
    assert load_bundle(str(folder), digest=manifest.digest).manifest == manifest


def test_a_bundle_that_was_replaced_is_refused_before_any_of_its_code_runs(
    write: Write, lightgbm_model: TrainedModel, tmp_path: Path
) -> None:
    digest = write(lightgbm_model)[1].digest
    replaced, _ = write(TrainedModel.sklearn(Code(tmp_path / "ran")))
    with pytest.raises(ModelError, match=f"expected the digest {digest[:12]} it was registered with, found"):
        load_bundle(str(replaced), digest=digest)
    assert not (tmp_path / "ran").exists()
    with pytest.raises(ModelError, match="expected a scikit-learn estimator"):
        load_bundle(str(replaced))
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["model.lgb.txt", "signature.json", "reference.json", "card.md"])
def test_a_damaged_file_is_named(write: Write, lightgbm_model: TrainedModel, name: str) -> None:
    folder, _ = write(lightgbm_model)
    (folder / name).write_bytes((folder / name).read_bytes() + b" ")
    with pytest.raises(ModelError, match=f"file {name} is not what was written"):
        load_bundle(str(folder))


def test_a_missing_file_is_named(write: Write, lightgbm_model: TrainedModel) -> None:
    folder, _ = write(lightgbm_model)
    (folder / "model.lgb.txt").unlink()
    with pytest.raises(ModelError, match=r"file model.lgb.txt is missing"):
        load_bundle(str(folder))


def test_a_manifest_that_was_edited_is_damaged(write: Write, lightgbm_model: TrainedModel) -> None:
    folder, manifest = write(lightgbm_model)
    edited = manifest.to_json() | {"files": {"card.md": manifest.files["card.md"]}}
    (folder / "manifest.json").write_text(json.dumps(edited))
    with pytest.raises(ModelError, match=r"manifest.json is damaged \(its digest"):
        load_bundle(str(folder))


@pytest.mark.parametrize("text", ["", "[]", "{}"])
def test_a_manifest_of_another_form_is_damaged(write: Write, lightgbm_model: TrainedModel, text: str) -> None:
    folder, _ = write(lightgbm_model)
    (folder / "manifest.json").write_text(text)
    with pytest.raises(ModelError, match=r"manifest.json is damaged"):
        load_bundle(str(folder))


def test_a_newer_format_is_refused(write: Write, lightgbm_model: TrainedModel) -> None:
    folder, manifest = write(lightgbm_model)
    (folder / "manifest.json").write_text(json.dumps(manifest.to_json() | {"format": 2}))
    with pytest.raises(ModelError, match="expected format 1, found 2"):
        load_bundle(str(folder))


def test_a_place_without_a_bundle_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no manifest.json there"):
        load_bundle(str(tmp_path / "nothing"))


@pytest.fixture
def remote(s3: str, write: Write, lightgbm_model: TrainedModel) -> tuple[str, Manifest]:
    """A bundle on S3."""
    bucket = f"models-{uuid.uuid4().hex[:8]}"
    boto3.client("s3", endpoint_url=s3).create_bucket(Bucket=bucket)
    folder, manifest = write(lightgbm_model)
    return publish_bundle(folder, Lake(f"s3://{bucket}/lake"), "churn"), manifest


def test_a_remote_bundle_without_a_cache_predicts_alike(
    remote: tuple[str, Manifest], booster: lightgbm.Booster
) -> None:
    np.testing.assert_allclose(load_bundle(remote[0]).predict(sample()), booster.predict(sample()), atol=1e-12)


def test_a_remote_bundle_is_kept_in_the_cache(remote: tuple[str, Manifest], tmp_path: Path) -> None:
    uri, manifest = remote
    load_bundle(uri, cache=tmp_path / "cache")
    assert [entry.name for entry in (tmp_path / "cache").iterdir()] == [manifest.digest]
    kept = tmp_path / "cache" / manifest.digest / "model.lgb.txt"
    changed_s = kept.stat().st_mtime_ns
    load_bundle(uri, cache=tmp_path / "cache")
    assert kept.stat().st_mtime_ns == changed_s


def test_a_damaged_cache_is_fetched_again(remote: tuple[str, Manifest], tmp_path: Path) -> None:
    uri, manifest = remote
    load_bundle(uri, cache=tmp_path)
    kept = tmp_path / manifest.digest / "model.lgb.txt"
    whole = kept.read_bytes()
    kept.write_bytes(whole[:-10])
    load_bundle(uri, cache=tmp_path)
    assert kept.read_bytes() == whole


def test_a_file_that_is_gone_from_the_lake_is_named(remote: tuple[str, Manifest], s3: str) -> None:
    bucket, _, key = remote[0].removeprefix("s3://").partition("/")
    boto3.client("s3", endpoint_url=s3).delete_object(Bucket=bucket, Key=f"{key}/model.lgb.txt")
    with pytest.raises(ModelError, match=r"file model.lgb.txt is missing"):
        load_bundle(remote[0])
