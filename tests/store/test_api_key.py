import re
from typing import Any

import pytest

from mlops_ray.errors import ConflictError, NotFoundError, SpecError
from mlops_ray.spec import Workspace
from mlops_ray.store import ApiKeyRecord, Store, issue_key, key_id, keys_required, opens
from tests.store.samples import event


def issued(*roles: str, **options: Any) -> tuple[str, ApiKeyRecord]:
    return issue_key("app", roles or ("infer",), now_s=5.0, **options)


def test_a_key_opens_what_was_made_of_it_and_nothing_else() -> None:
    (key, record), (other_key, other) = issued(), issued()
    assert opens(key, record)
    assert opens(other_key, other)
    assert not opens(key, other)
    assert not opens(key, None)


def test_a_key_with_the_id_of_one_and_the_secret_of_another_opens_neither() -> None:
    (key, record), (other_key, other) = issued(), issued()
    mixed = key[:17] + other_key[17:]
    assert key_id(mixed) == record.id
    assert not opens(mixed, record)
    assert not opens(mixed, other)


def test_a_revoked_key_opens_nothing() -> None:
    key, record = issued()
    revoked = ApiKeyRecord(**{**vars(record), "revoked_s": 6.0})
    assert not opens(key, revoked)


NO_KEYS = ["", "mlr_", "mlr_0123456789ab_", "Bearer x", f"mlr_0123456789ab_{'é' * 43}", "x" * 9000]


@pytest.mark.parametrize("text", NO_KEYS)
def test_what_is_no_key_has_no_id_and_opens_nothing(text: str) -> None:
    assert key_id(text) is None
    assert not opens(text, issued()[1])


def test_a_key_has_a_secret_of_32_random_bytes_of_which_only_a_salted_hash_is_kept() -> None:
    key, record = issued()
    assert re.fullmatch(r"mlr_[0-9a-f]{12}_[A-Za-z0-9_-]{43}", key)
    secret = key[17:]
    assert secret not in repr(record)
    salt, _, digest = record.hash.partition("$")
    assert (len(salt), len(digest)) == (32, 64)
    assert len({issued()[1].hash for _ in range(20)}) == 20


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("app", {"roles": []}, "found none"),
        ("app", {"roles": ["infer", "root"]}, "found root"),
        (" ", {"roles": ["infer"]}, "name"),
        ("app", {"roles": ["infer"], "requests_per_s": 0.0}, "above 0"),
        ("app", {"roles": ["infer"], "requests_per_s": float("nan")}, "above 0"),
    ],
)
def test_a_key_that_makes_no_sense_is_not_issued(name: str, options: dict[str, Any], says: str) -> None:
    with pytest.raises(SpecError, match=says):
        issue_key(name, **{"now_s": 0.0, **options})


def test_a_role_that_is_named_twice_counts_once() -> None:
    assert issued("label", "infer", "label")[1].roles == ("label", "infer")


@pytest.mark.parametrize(
    ("auth", "serve", "required"),
    [
        ("auto", "http://127.0.0.1:8000", False),
        ("auto", "http://localhost:8000", False),
        ("auto", "http://[::1]:8000", False),
        ("auto", "http://0.0.0.0:8000", True),
        ("auto", "http://10.1.2.3:8000", True),
        ("auto", "https://models.example.org", True),
        ("auto", "", True),
        ("on", "http://127.0.0.1:8000", True),
        ("off", "http://10.1.2.3:8000", False),
    ],
)
def test_keys_are_asked_for_wherever_others_can_reach(auth: str, serve: str, required: bool) -> None:
    assert keys_required(Workspace.at("/home", auth=auth, serve=serve)) is required


def test_keys_come_back_as_they_were_written_oldest_first(store: Store) -> None:
    (_, first), (_, second) = issued("infer", "label", requests_per_s=2.5), issue_key("b", ["admin"], now_s=4.0)
    for record in (first, second):
        with store.change(event()) as change:
            change.insert_api_key(record)
    assert store.api_keys() == [second, first]
    assert store.api_key(first.id) == first


def test_a_key_is_never_replaced(store: Store) -> None:
    _, record = issued()
    with store.change(event()) as change:
        change.insert_api_key(record)
    with pytest.raises(ConflictError, match="exists"), store.change(event()) as change:
        change.insert_api_key(record)


def test_a_key_stays_when_it_is_revoked_and_keeps_the_time(store: Store) -> None:
    _, record = issued()
    with store.change(event()) as change:
        change.insert_api_key(record)
    for now_s in (7.0, 8.0):
        with store.change(event()) as change:
            assert change.revoke_api_key(record.id, now_s).revoked_s == 7.0
    assert [known.revoked_s for known in store.api_keys()] == [7.0]
    with pytest.raises(NotFoundError, match="'nobody'"), store.change(event()) as change:
        change.revoke_api_key("nobody", 9.0)
