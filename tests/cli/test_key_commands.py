"""`keys`: made, listed and revoked, with an event each, and the key itself told once."""

from pathlib import Path

import pytest

from mlops_ray.store import Store, opens
from tests.cli.command import mlops_ray


def store_of(home: Path) -> Store:
    return Store(f"sqlite:///{home / 'store.db'}")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home that nothing runs for."""
    return tmp_path / "home"


def test_a_key_is_told_once_and_opens_what_is_kept_of_it(home: Path, tmp_path: Path) -> None:
    made = mlops_ray("keys", "create", "shop", "--role", "infer", "--role", "label", cwd=tmp_path, home=home)
    assert made.code == 0, made
    (record,) = store_of(home).api_keys()
    assert opens(made.answer["key"], record)
    assert (record.name, record.roles, record.requests_per_s) == ("shop", ("infer", "label"), None)
    listed = mlops_ray("keys", "list", cwd=tmp_path, home=home)
    (shown,) = listed.answer["keys"]
    assert (shown["id"], shown["name"], shown["roles"]) == (record.id, "shop", ["infer", "label"])
    kept = (home / "store.db").read_bytes() + listed.out.encode()
    assert made.answer["key"].split("_", 2)[2].encode() not in kept
    assert record.hash not in listed.out


def test_people_see_the_key_in_the_first_line_and_whether_it_is_asked_for(home: Path, tmp_path: Path) -> None:
    arguments = ("keys", "create", "shop", "--role", "infer", "--requests-per-s", "2.5")
    made = mlops_ray(*arguments, cwd=tmp_path, home=home, as_json=False)
    (record,) = store_of(home).api_keys()
    assert opens(made.out.splitlines()[0], record)
    assert "no key is asked for at present" in made.out
    listed = mlops_ray("keys", "list", cwd=tmp_path, home=home, as_json=False)
    assert listed.out == f"{record.id}  shop: infer, 2.5 requests/s\n"


def test_a_revoked_key_stays_listed_and_revoking_it_again_changes_nothing(home: Path, tmp_path: Path) -> None:
    id = mlops_ray("keys", "create", "shop", "--role", "admin", cwd=tmp_path, home=home).answer["id"]
    first = mlops_ray("keys", "revoke", id, cwd=tmp_path, home=home)
    again = mlops_ray("keys", "revoke", id, cwd=tmp_path, home=home)
    assert first.answer["revoked_s"] == again.answer["revoked_s"]
    store = store_of(home)
    assert [event.kind for event in store.events()] == ["api_key.created", "api_key.revoked"]
    assert {event.subject for event in store.events()} == {id}
    assert store.verify().verified
    listed = mlops_ray("keys", "list", cwd=tmp_path, home=home, as_json=False)
    assert listed.out.endswith("shop: admin, revoked\n")


def test_a_key_that_makes_no_sense_or_is_not_there_is_refused(home: Path, tmp_path: Path) -> None:
    assert "found root" in mlops_ray("keys", "create", "x", "--role", "root", cwd=tmp_path, home=home).error
    rate = ("--requests-per-s", "0")
    assert "above 0" in mlops_ray("keys", "create", "x", "--role", "infer", *rate, cwd=tmp_path, home=home).error
    assert "'nobody'" in mlops_ray("keys", "revoke", "nobody", cwd=tmp_path, home=home).error
    assert mlops_ray("keys", "create", "x", cwd=tmp_path, home=home, as_json=False).code == 2
    assert store_of(home).events() == []
