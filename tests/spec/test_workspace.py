"""Where the outside systems are."""

import json
from pathlib import Path

import pydantic
import pytest

from mlops_ray.errors import SpecError
from mlops_ray.spec import Workspace


def test_a_local_workspace_keeps_everything_in_its_home(tmp_path: Path) -> None:
    workspace = Workspace.at(tmp_path)
    assert workspace.home == str(tmp_path)
    assert all(str(tmp_path) in url for url in (workspace.lake, workspace.store, workspace.catalog, workspace.tracking))
    assert workspace.ray_address == "auto"


def test_making_a_workspace_touches_nothing(tmp_path: Path) -> None:
    Workspace.at(tmp_path / "home")
    Workspace.load(tmp_path / "home", {})
    assert list(tmp_path.iterdir()) == []


def test_a_relative_home_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Workspace.at("home").home == str(tmp_path / "home")


def test_single_fields_can_be_given(tmp_path: Path) -> None:
    workspace = Workspace.at(tmp_path, lake="s3://bucket/prefix")
    assert workspace.lake == "s3://bucket/prefix"
    assert workspace.store == Workspace.at(tmp_path).store


def test_a_saved_workspace_is_loaded_again(tmp_path: Path) -> None:
    workspace = Workspace.at(tmp_path / "home", serve="http://10.0.0.1:8000")
    workspace.save()
    assert Workspace.load(tmp_path / "home", {}) == workspace
    assert [file.name for file in (tmp_path / "home").iterdir()] == ["workspace.json"]


def test_saving_replaces_what_was_saved(tmp_path: Path) -> None:
    Workspace.at(tmp_path, namespace="one").save()
    Workspace.at(tmp_path, namespace="two").save()
    assert Workspace.load(tmp_path, {}).namespace == "two"


def test_the_environment_overrides_the_file(tmp_path: Path) -> None:
    Workspace.at(tmp_path, tracking="http://saved:5000").save()
    loaded = Workspace.load(tmp_path, {"MLOPS_RAY_TRACKING": "http://given:5000", "TRACKING": "no", "PATH": "/bin"})
    assert loaded.tracking == "http://given:5000"


def test_the_environment_does_not_move_the_home(tmp_path: Path) -> None:
    assert Workspace.load(tmp_path, {"MLOPS_RAY_HOME": "/elsewhere"}).home == str(tmp_path)


def test_a_workspace_that_was_moved_has_its_new_home(tmp_path: Path) -> None:
    Workspace.at(tmp_path / "old").save()
    (tmp_path / "old").rename(tmp_path / "new")
    assert Workspace.load(tmp_path / "new", {}).home == str(tmp_path / "new")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file: "),
        ("{not json", "the file: "),
        ("[]", "the file: "),
        ('{"home": "/x"}', "lake: "),
        (json.dumps(Workspace.at("/x").model_dump() | {"lakes": "y"}), "lakes: .*found 'y'"),
        (json.dumps(Workspace.at("/x").model_dump() | {"lake": 5}), "lake: .*found 5"),
    ],
)
def test_a_damaged_file_is_named_with_what_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "workspace.json").write_text(text)
    with pytest.raises(SpecError, match=rf"workspace .*workspace\.json: {message}"):
        Workspace.load(tmp_path, {})


@pytest.mark.parametrize("field", ["home", "lake", "store"])
def test_a_workspace_is_frozen(tmp_path: Path, field: str) -> None:
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        setattr(Workspace.at(tmp_path), field, "elsewhere")
