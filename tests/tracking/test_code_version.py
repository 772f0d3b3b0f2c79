import json
import subprocess
from pathlib import Path

import pytest

from mlops_ray.tracking import CodeVersion, code_version


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *identity, "-C", str(folder), *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / "train.py").write_text("pass\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "train.py")
    git(tmp_path, "commit", "-qm", "first")
    return tmp_path


def test_a_clean_tree_is_its_commit(repository: Path) -> None:
    version = code_version(repository)
    assert (version.sha, version.dirty) == (git(repository, "rev-parse", "HEAD"), False)


def test_an_edited_file_makes_the_tree_dirty(repository: Path) -> None:
    (repository / "train.py").write_text("raise\n")
    assert code_version(repository).dirty


def test_a_file_git_does_not_know_leaves_the_tree_clean(repository: Path) -> None:
    (repository / "notes.txt").write_text("x")
    assert not code_version(repository).dirty


def test_outside_of_git_there_is_no_commit(tmp_path: Path) -> None:
    version = code_version(tmp_path)
    assert (version.sha, version.dirty) == (None, False)


def test_the_lock_digest_changes_with_the_lock_file(tmp_path: Path) -> None:
    (tmp_path / "constraints.txt").write_text("numpy==2.0\n")
    first = code_version(tmp_path).lock_digest
    (tmp_path / "constraints.txt").write_text("numpy==2.1\n")
    assert code_version(tmp_path).lock_digest != first


def test_without_a_lock_file_the_installed_packages_are_digested(tmp_path: Path) -> None:
    assert code_version(tmp_path).lock_digest == code_version(tmp_path / "elsewhere").lock_digest


def test_the_packages_that_shape_a_result_are_named(tmp_path: Path) -> None:
    assert {"ray", "lightgbm", "numpy"} <= set(code_version(tmp_path).packages)


def test_a_code_version_survives_a_trip_through_json_text(tmp_path: Path) -> None:
    version = code_version(tmp_path)
    assert CodeVersion.from_json(json.loads(json.dumps(version.to_json()))) == version
