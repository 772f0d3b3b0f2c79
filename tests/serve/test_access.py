from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from mlops_ray.errors import RequestError
from mlops_ray.serve.access import Access
from mlops_ray.spec import Workspace
from mlops_ray.store import ApiKeyRecord, Event, Role, Store, issue_key
from tests.serve.samples import run


def issued(*roles: str, name: str = "app", **options: Any) -> tuple[bytes, ApiKeyRecord]:
    key, record = issue_key(name, roles or ("infer",), now_s=1.0, **options)
    return key.encode(), record


def guarded(*records: ApiKeyRecord) -> Access:
    return Access(lambda: records, required=True)


def refused(access: Access, headers: dict[bytes, bytes], role: Role | None = "infer") -> RequestError:
    with pytest.raises(RequestError) as caught:
        access.check(headers, role)
    return caught.value


@pytest.mark.parametrize(
    "header", [(b"authorization", b"Bearer "), (b"authorization", b"bearer  "), (b"x-api-key", b"")]
)
def test_a_key_is_taken_from_either_header(header: tuple[bytes, bytes]) -> None:
    key, record = issued()
    caller = guarded(record).check({header[0]: header[1] + key}, "infer")
    assert caller is not None
    assert (caller.id, caller.name) == (record.id, "app")


def test_a_key_that_was_right_before_is_right_again_and_a_wrong_one_is_wrong_again() -> None:
    key, record = issued()
    access = guarded(record)
    first = access.check({b"x-api-key": key}, "infer")
    for _ in range(3):
        assert access.check({b"x-api-key": key}, "infer") is first
        assert refused(access, {b"x-api-key": key[:-1] + b"~"}).status == 401


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {b"x-api-key": b""},
        {b"authorization": b"Basic dXNlcjpwYXNz"},
        {b"authorization": b"Bearer"},
        {b"x-api-key": b"mlr_0123456789ab_" + b"A" * 43},
        {b"x-api-key": b"\xff\x00"},
    ],
)
def test_no_key_and_an_unknown_key_are_refused(headers: dict[bytes, bytes]) -> None:
    assert refused(guarded(issued()[1]), headers).status == 401


@pytest.mark.parametrize(
    ("roles", "needed", "passes"),
    [
        (["infer"], "infer", True),
        (["infer"], "label", False),
        (["label"], "infer", False),
        (["label", "infer"], "label", True),
        (["admin"], "infer", True),
        (["admin"], "label", True),
        (["admin"], "admin", True),
        (["infer", "label"], "admin", False),
        (["label"], None, True),
    ],
)
def test_a_key_is_good_for_its_roles_and_admin_for_all(roles: list[str], needed: Role | None, passes: bool) -> None:
    key, record = issued(*roles)
    access = guarded(record)
    if passes:
        assert access.check({b"x-api-key": key}, needed) is not None
    else:
        error = refused(access, {b"x-api-key": key}, needed)
        assert error.status == 403
        assert f"needs the role {needed}" in error.message


def test_a_refusal_says_nothing_of_the_key() -> None:
    (key, record), (other, _) = issued("label"), issued()
    for headers in ({b"x-api-key": key}, {b"x-api-key": other}):
        assert key.decode()[17:] not in refused(guarded(record), headers).message
        assert other.decode()[17:] not in refused(guarded(record), headers).message


def test_a_change_is_seen_by_the_next_refresh_and_a_revoked_key_is_of_no_use() -> None:
    (key, record), (later, added) = issued(), issued()
    known: list[ApiKeyRecord] = [record]
    access = Access(lambda: known, required=True)
    assert access.check({b"x-api-key": key}, "infer") is not None
    assert refused(access, {b"x-api-key": later}).status == 401
    known[:] = [replace(record, revoked_s=2.0), added]
    access.refresh()
    assert refused(access, {b"x-api-key": key}).status == 401
    assert access.check({b"x-api-key": later}, "infer") is not None


def test_what_was_known_stays_when_the_store_does_not_answer() -> None:
    key, record = issued()
    answers: list[Sequence[ApiKeyRecord]] = [[record]]
    access = Access(answers.pop, required=True)
    with pytest.raises(IndexError):
        access.refresh()
    assert access.check({b"x-api-key": key}, "infer") is not None


def test_a_refresh_forgets_no_use_of_a_rate() -> None:
    key, record = issued(requests_per_s=1.0)
    known = [record]
    access = Access(lambda: known, required=True)

    def bucket() -> Any:
        caller = access.check({b"x-api-key": key}, "infer")
        assert caller is not None
        return caller.bucket

    before = bucket()
    known.append(issued()[1])
    access.refresh()
    assert bucket() is before
    known[0] = replace(record, requests_per_s=2.0)
    access.refresh()
    assert bucket().per_s == 2.0


def test_without_keys_anybody_may_ask() -> None:
    assert Access().check({}, "admin", peer="10.0.0.9") is None
    assert not Access().checks


@pytest.mark.parametrize(("peer", "passes"), [("127.0.0.1", True), ("127.3.2.1", True), ("::1", True), ("", True)])
def test_where_keys_are_off_because_nobody_else_is_expected_this_machine_may_ask(peer: str, passes: bool) -> None:
    assert Access(only_here=True).check({}, "infer", peer=peer) is None


@pytest.mark.parametrize("peer", ["10.0.0.9", "2001:db8::1", "::ffff:10.0.0.9", "unknown"])
def test_where_keys_are_off_because_nobody_else_is_expected_others_are_told_how_to_switch_them_on(peer: str) -> None:
    with pytest.raises(RequestError, match="MLOPS_RAY_AUTH=on") as caught:
        Access(only_here=True).check({}, "infer", peer=peer)
    assert caught.value.status == 403


@pytest.mark.parametrize(
    ("auth", "serve", "required", "checks"),
    [
        ("auto", "http://127.0.0.1:8000", False, True),
        ("auto", "http://10.0.0.7:8000", True, True),
        ("on", "http://127.0.0.1:8000", True, True),
        ("off", "http://10.0.0.7:8000", False, False),
    ],
)
def test_the_workspace_says_what_is_asked_for(
    workspace: Workspace, auth: str, serve: str, required: bool, checks: bool
) -> None:
    store = Store(workspace.store)
    store.create()
    changed = workspace.model_copy(update={"auth": auth, "serve": serve})
    access = Access.of(changed, store)
    assert (access.required, access.checks) == (required, checks)


def test_the_keys_of_the_store_are_read_at_once_and_again_while_it_is_watched(workspace: Workspace) -> None:
    store = Store(workspace.store)
    store.create()
    (key, record), (later, added) = issued(), issued()

    def insert(new: ApiKeyRecord) -> None:
        with store.change(Event("api_key.created", new.id, {}, "test", 0.0)) as change:
            change.insert_api_key(new)

    insert(record)
    access = Access.of(workspace.model_copy(update={"auth": "on"}), store)
    assert access.check({b"x-api-key": key}, "infer") is not None
    insert(added)
    access.refresh()
    assert access.check({b"x-api-key": later}, "infer") is not None


def test_watching_is_over_at_once_where_no_keys_are_asked_for() -> None:
    assert run(Access().watch()) is None
