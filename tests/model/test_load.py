import json
from collections.abc import Callable
from pathlib import Path

import lightgbm
import numpy as np
import pytest

from mlops_ray.drift import ReferenceProfile
from mlops_ray.errors import ModelError
from mlops_ray.lake import Lake
from mlops_ray.model import Manifest, TrainedModel, load_bundle, publish_bundle
from tests.model.conftest import SIGNATURE, sample

Write = Callable[[TrainedModel], tuple[Path, Manifest]]


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
