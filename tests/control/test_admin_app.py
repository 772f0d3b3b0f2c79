import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from mlops_ray.control.admin_app import AdminApp
from mlops_ray.errors import StoreError
from mlops_ray.rollout import Phase
from mlops_ray.serve import Access
from mlops_ray.serve.server_app import ServerApp
from mlops_ray.store import Role, Stage, issue_key
from tests.control.world import World
from tests.serve.asgi_client import Reply, call, get, post
from tests.serve.samples import run

JSON = {"content-type": "application/json"}


@dataclass
class Admin:
    """The admin plane as it is mounted, and keys for it."""

    app: ServerApp
    keys: dict[str, str]

    def get(self, path: str, key: str = "", *, query: bytes = b"") -> Reply:
        async def queried(scope: Any, receive: Any, send: Any) -> None:
            await self.app({**scope, "query_string": query}, receive, send)

        return run(get(queried, f"/v2/admin/{path}", headers=self._headers(key)))

    def post(self, path: str, content: Any = b"", key: str = "", **headers: str) -> Reply:
        sent = {**JSON, **self._headers(key), **{k.replace("_", "-"): v for k, v in headers.items()}}
        return run(post(self.app, f"/v2/admin/{path}", content, headers=sent))

    def _headers(self, key: str) -> dict[str, str]:
        return {"x-api-key": self.keys.get(key, key)} if key else {}


@pytest.fixture
def admin_of(world: World) -> Callable[..., Admin]:
    """The admin plane of a world, with keys asked for or not."""

    def make(*, required: bool = False) -> Admin:
        roles: tuple[Role, ...] = ("infer", "label", "admin")
        made = {role: issue_key(f"{role}-key", [role], now_s=0.0) for role in roles}
        access = Access(lambda: [record for _, record in made.values()], required=required, only_here=True)
        app = AdminApp(world.store, access, clock=lambda: world.now_s)
        keys: dict[str, str] = {role: key for role, (key, _) in made.items()}
        return Admin(ServerApp("1", dict, access, admin=app), keys)

    return make


@pytest.fixture
def admin(admin_of: Callable[..., Admin]) -> Admin:
    return admin_of()


def under_way(world: World) -> str:
    """A first champion, and version 2 as its canary."""
    world.champion(1)
    return world.run(world.deploy(2), Phase.CANARY).id


# -- what is shown -----------------------------------------------------------------------------------------------------


def test_models_are_shown_as_status_shows_them(admin: Admin, world: World) -> None:
    under_way(world)
    everything = admin.get("models").json()["models"]
    assert [(m["name"], m["champion"], len(m["rollouts"])) for m in everything] == [("toy", 1, 2)]
    assert admin.get("models/toy").json() == everything[0]


def test_a_rollout_is_shown_with_its_verdicts(admin: Admin, world: World) -> None:
    rollout = under_way(world)
    newest = admin.get("models/toy/analysis").json()
    assert (newest["rollout"], newest["version"], newest["strategy"]) == (rollout, 2, "canary")
    assert [metric["name"] for metric in newest["metrics"]]
    first = world.store.rollouts("toy")[0].id
    assert admin.get("models/toy/analysis", query=f"rollout={first}".encode()).json()["version"] == 1


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("models/zz", "no model 'zz'; models in the store: toy"),
        ("models/zz/analysis", "no model 'zz'"),
        ("", "no such path: /v2/admin"),
        ("nothing/here", "no such path: /v2/admin/nothing/here"),
    ],
)
def test_what_is_not_there_is_told_with_what_is(admin: Admin, world: World, path: str, sentence: str) -> None:
    reply = admin.get(path)
    assert (reply.status, sentence in reply.json()["error"]) == (404, True)


def test_an_unknown_rollout_is_told_with_those_there_are(admin: Admin, world: World) -> None:
    rollout = under_way(world)
    reply = admin.get("models/toy/analysis", query=b"rollout=zz")
    assert (reply.status, rollout in reply.json()["error"]) == (404, True)


# -- what is ordered ---------------------------------------------------------------------------------------------------


def test_a_version_is_delivered_by_the_registered_spec(admin: Admin, world: World) -> None:
    world.champion(1)
    assert admin.post("models/toy/deploy", {"version": 9}).status == 404
    reply = admin.post("models/toy/deploy", {"version": 2, "by": "ada"})
    assert (reply.status, reply.json()["version"], reply.json()["phase"]) == (200, 2, Phase.STARTING)
    event = world.store.events(subject=reply.json()["id"], kind="rollout.begun")[0]
    assert event.actor == "ada"


def test_a_rollout_is_steered_and_the_audit_chain_says_by_whom_and_why(admin: Admin, world: World) -> None:
    rollout = under_way(world)
    for action, phase in (("pause", Phase.PAUSED), ("resume", Phase.CANARY), ("abort", Phase.ROLLING_BACK)):
        reply = admin.post(f"models/toy/{action}", {"reason": f"why {action}", "by": "ada"})
        assert (reply.status, reply.json()["phase"]) == (200, phase)
        event = world.store.events(subject=rollout, kind=f"rollout.{action}")[0]
        assert (event.actor, event.payload["reason"]) == ("ada", f"why {action}")


def test_the_previous_champion_comes_back_and_a_model_is_taken_away(admin: Admin, world: World) -> None:
    world.champion(1).champion(2)
    assert admin.post("models/toy/rollback", {"reason": "complaints"}).json()["champion"] == 1
    assert admin.post("models/toy/undeploy").json()["champion"] is None


def test_a_version_is_approved_and_rejected(admin: Admin, world: World) -> None:
    reply = admin.post("models/toy/versions/1/approve", {"reason": "looks right", "by": "ada"})
    assert reply.json() == {"model": "toy", "version": 1, "approved": True, "by": "ada"}
    admin.post("models/toy/versions/1/reject", {"by": "bob"})
    assert [(a.approver, a.approved) for a in world.store.approvals("toy", 1)] == [("ada", True), ("bob", False)]
    assert world.store.model_version("toy", 1).stage is Stage.REJECTED


@pytest.mark.parametrize(
    ("path", "status", "sentence"),
    [
        ("models/toy/promote", 409, "no rollout of 'toy' is under way"),
        ("models/toy/rollback", 409, "no previous champion"),
        ("models/toy/undeploy", 409, "not deployed"),
        ("models/zz/deploy", 404, "no model 'zz'"),
        ("models/toy/versions/7/approve", 404, "7"),
        (f"models/toy/versions/{'9' * 5000}/approve", 404, "expected the number of a version"),
        ("models/toy/versions/new/approve", 404, "expected the number of a version, found 'new'"),
        ("models/toy/delete", 404, "no such path"),
        ("models/toy", 404, "no such path"),
    ],
)
def test_an_order_that_cannot_be_carried_out_says_why_and_changes_nothing(
    admin: Admin, world: World, path: str, status: int, sentence: str
) -> None:
    before = world.kinds("toy")
    reply = admin.post(path)
    assert (reply.status, sentence in reply.json()["error"]) == (status, True), reply.json()
    assert world.kinds("toy") == before


@pytest.mark.parametrize(
    ("body", "status", "sentence"),
    [
        (b"{", 400, "not JSON"),
        (b"[]", 422, "Expected `object`, got `array`"),
        (b'{"why": "x"}', 422, "unknown field `why`"),
        (b'{"reason": 1}', 422, "$.reason"),
        (b'{"version": 0}', 422, "$.version"),
        (b'{"reason": "' + b"x" * 3000 + b'"}', 422, "$.reason"),
        (b'{"reason": "' + b"x" * 70_000 + b'"}', 413, "larger"),
    ],
)
def test_a_body_that_is_no_order_says_what_is_wrong_with_it(
    admin: Admin, world: World, body: bytes, status: int, sentence: str
) -> None:
    reply = admin.post("models/toy/promote", body)
    assert (reply.status, sentence in reply.json()["error"]) == (status, True), reply.json()


def test_a_form_of_a_foreign_page_orders_nothing(admin: Admin, world: World) -> None:
    rollout = under_way(world)
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        assert admin.post("models/toy/abort", b'{"reason": "x"}', content_type=kind).status == 415
    assert world.store.rollout(rollout).phase != Phase.ROLLING_BACK


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "127.0.0.1:8000"}, 200),
        ({"host": "[::1]:8000"}, 200),
        ({"host": "localhost:8000", "origin": "http://localhost:3000"}, 200),
        ({"host": "rebound.example:8000"}, 403),
        ({"host": "127.0.0.1:8000", "origin": "https://foreign.example"}, 403),
    ],
)
def test_a_page_whose_name_was_turned_on_this_machine_sees_and_orders_nothing(
    admin: Admin, world: World, headers: dict[str, str], status: int
) -> None:
    under_way(world)
    assert run(get(admin.app, "/v2/admin/models", headers=headers)).status == status
    assert admin.post("models/toy/abort", **headers).status == status


def test_with_a_key_the_host_may_go_by_any_name(admin_of: Callable[..., Admin], world: World) -> None:
    admin = admin_of(required=True)
    headers = {"host": "models.example", "x-api-key": admin.keys["admin"]}
    assert run(get(admin.app, "/v2/admin/models", headers=headers)).status == 200


def test_a_reason_is_refused_where_it_would_be_lost(admin: Admin, world: World) -> None:
    before = world.kinds()
    reply = admin.post("models/toy/deploy", {"reason": "new season"})
    assert (reply.status, reply.json()["path"]) == (422, "$.reason")
    assert world.kinds() == before


@pytest.mark.parametrize("path", ["promote", "abort", "rollback", "undeploy", "versions/2/approve"])
def test_a_version_is_refused_where_it_would_be_ignored(admin: Admin, world: World, path: str) -> None:
    rollout = under_way(world)
    reply = admin.post(f"models/toy/{path}", {"version": 2})
    assert (reply.status, reply.json()["path"]) == (422, "$.version")
    assert world.store.rollout(rollout).phase == Phase.CANARY


def test_another_method_is_refused_with_those_there_are(admin: Admin) -> None:
    reply = run(call(admin.app, "DELETE", "/v2/admin/models/toy"))
    assert (reply.status, reply.headers["allow"]) == (405, "GET, HEAD, POST")


# -- for whom ----------------------------------------------------------------------------------------------------------


def test_where_keys_are_asked_for_only_one_for_admin_steers_or_looks(
    admin_of: Callable[..., Admin], world: World
) -> None:
    admin = admin_of(required=True)
    rollout = under_way(world)
    for key, status in (("", 401), ("mlr_nonsense", 401), ("infer", 403), ("label", 403)):
        assert admin.get("models", key).status == status
        assert admin.post("models/toy/abort", {}, key).status == status
    assert world.store.rollout(rollout).phase == Phase.CANARY
    assert admin.get("models", "admin").status == 200
    assert admin.post("models/toy/abort", {"reason": "x"}, "admin").status == 200
    assert world.store.events(subject=rollout, kind="rollout.abort")[0].actor == "admin-key"


def test_who_shows_a_key_cannot_order_in_another_name(admin_of: Callable[..., Admin], world: World) -> None:
    admin = admin_of(required=True)
    reply = admin.post("models/toy/versions/1/approve", {"by": "bob"}, "admin")
    assert (reply.status, reply.json()["path"]) == (422, "$.by")
    assert world.store.approvals("toy", 1) == []


def test_another_machine_is_refused_where_keys_are_off(admin: Admin) -> None:
    assert run(get(admin.app, "/v2/admin/models", peer="10.0.0.9")).status == 403


def test_without_an_admin_plane_its_paths_are_unknown() -> None:
    assert run(get(ServerApp("1", dict), "/v2/admin/models")).status == 404


def test_a_store_that_does_not_answer_is_a_503(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    class Away:
        def models(self) -> Any:
            raise StoreError("the database is away")

    reply = run(get(AdminApp(Away(), Access()), "/v2/admin/models"))  # type: ignore[arg-type]
    assert (reply.status, json.loads(reply.body)["error"]) == (503, "the database is away")


def test_an_error_nobody_thought_of_is_told_without_a_stack_trace(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def models(self) -> Any:
            raise RuntimeError("secret detail")

    reply = run(get(AdminApp(Broken(), Access()), "/v2/admin/models"))  # type: ignore[arg-type]
    assert (reply.status, "secret" in reply.body.decode()) == (500, False)
    assert "secret detail" in caplog.text
