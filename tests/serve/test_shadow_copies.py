import asyncio
import contextvars
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlops_ray.errors import AsleepError
from mlops_ray.model import InputColumn, Signature
from mlops_ray.serve import Versions
from mlops_ray.serve.answer import PlainBody
from mlops_ray.serve.canary_link import CanaryLink
from mlops_ray.serve.loaded import Decoders, LoadedModel
from mlops_ray.serve.recorder import Recorder, Served
from mlops_ray.serve.remote_version import NO_ROOM
from mlops_ray.serve.request import Rows
from mlops_ray.serve.shadow_copies import Bounds, ShadowCopies
from mlops_ray.spec import parse_spec
from tests.serve.fake_time import run_in_fake_time
from tests.serve.remotes import Act, ScriptedVersion
from tests.serve.samples import SIGNATURE, SPEC, Register, lightgbm_model, record

BODY = PlainBody(json.dumps({"records": [record()]}).encode())
MakeServed = Callable[..., Served]


@pytest.fixture
def champion(versions: Versions, register: Register) -> LoadedModel:
    return versions.load(register(lightgbm_model(5)))


@pytest.fixture
def served(champion: LoadedModel) -> MakeServed:
    """A champion's answered request; its shadow's right score is `number`."""

    def make(number: int, rows: int = 1, **changes: Any) -> Served:
        values: dict[str, Any] = {
            "request_id": str(number),
            "unit": f"unit {number}",
            "time_s": 1.0,
            "version": champion.version,
            "role": "champion",
            "assigned": "champion",
            "canary": 2,
            "epoch": 7,
            "status": 200,
            "error": None,
            "latency_ms": 9.0,
            "matrix": np.full((rows, 4), float(number)),
            "scores": np.full(rows, 0.5),
            "encoded_by": champion,
        }
        return Served(**(values | changes))

    return make


def link(remote: Any, signature: Signature = SIGNATURE) -> CanaryLink:
    decoders = Decoders.of(signature, parse_spec(SPEC).serve)
    return CanaryLink(2, decoders, remote, deadline_s=0.3, coalesce_s=0.0)


class Shadow:
    """Copies for a scripted version, and what was recorded of them."""

    def __init__(self, *acts: Act, signature: Signature = SIGNATURE, **bounds: Any) -> None:
        self.remote = ScriptedVersion(acts or (Act(),))
        self.recorder = Recorder("replica")
        self.copies = ShadowCopies(
            link(self.remote, signature), self.recorder, deadline_s=1.0, bounds=replace(Bounds(), **bounds)
        )

    def after(self, *requests: Served, s: float = 60.0, body: PlainBody = BODY) -> list[Served]:
        """Records so many seconds after the requests were answered."""

        async def story() -> list[Served]:
            for one in requests:
                self.copies.offer(one, body)
            await asyncio.sleep(s)
            records = self.recorder.take()
            self.copies.close()
            return records

        return run_in_fake_time(story())


def test_a_copy_becomes_a_record_of_its_own_with_the_champions_scores_beside(served: MakeServed) -> None:
    (kept,) = Shadow().after(served(3, rows=2))
    assert (kept.role, kept.assigned, kept.version, kept.canary, kept.epoch) == ("shadow", "shadow", 2, 2, 7)
    assert (kept.request_id, kept.unit, kept.status, kept.error) == ("3", "unit 3", 200, None)
    assert (kept.scores.tolist(), kept.matrix.tolist()) == ([3.0, 3.0], [[3.0] * 4] * 2)
    assert kept.paired_scores is not None
    assert kept.paired_scores.tolist() == [0.5, 0.5]
    assert (kept.queue_ms, kept.predict_ms, kept.latency_ms) == (0.25, 0.5, 0.5)


def test_nothing_is_asked_before_the_answer_has_gone_out(served: MakeServed) -> None:
    shadow = Shadow()

    async def story() -> None:
        shadow.copies.offer(served(1), BODY)
        assert not shadow.remote.calls
        await asyncio.sleep(0.01)
        assert not shadow.remote.calls
        await asyncio.sleep(1)
        assert len(shadow.remote.calls) == 1

    run_in_fake_time(story())


def test_a_shadow_that_fails_is_recorded_as_failing(served: MakeServed) -> None:
    kept = Shadow(Act("raises")).after(*map(served, range(3)))
    assert [(k.status, k.error) for k in kept] == [
        (500, "shadow version 2 failed: ConnectionError: replica is gone")
    ] * 3
    assert all(np.isnan(k.scores).all() and k.paired_scores is not None for k in kept)


def test_one_bad_copy_takes_no_other_with_it(served: MakeServed) -> None:
    kept = Shadow(Act(), Act("some errors"), Act()).after(*map(served, range(3)))
    assert [(k.request_id, k.error) for k in kept] == [("0", None), ("1", "bad row"), ("2", None)]


def test_what_the_champion_failed_to_answer_is_copied_without_a_score_of_its_own(served: MakeServed) -> None:
    (kept,) = Shadow().after(served(4, status=500, error="broken", scores=np.array([np.nan])))
    assert (kept.status, kept.error, kept.scores.tolist(), kept.paired_scores) == (200, None, [4.0], None)


def test_nothing_is_read_anew_before_the_answer_has_gone_out(served: MakeServed) -> None:
    shadow = Shadow(signature=Signature(SIGNATURE.inputs[::-1], "binary", "customer"))
    reads: list[int] = []

    class Watched(PlainBody):
        def rows(self, decoders: Decoders) -> Rows:
            reads.append(len(reads))
            return super().rows(decoders)

    async def story() -> None:
        shadow.copies.offer(served(1), Watched(json.dumps({"records": [record()]}).encode()))
        assert not reads
        await asyncio.sleep(1)

    run_in_fake_time(story())
    assert (len(reads), len(shadow.recorder.take())) == (1, 1)


def test_a_shadow_with_another_signature_reads_the_request_by_it(served: MakeServed) -> None:
    shadow = Shadow(signature=Signature((InputColumn("amount", "float", nullable=False),), "binary", "customer"))
    body = PlainBody(json.dumps({"records": [{"amount": 8.5}]}).encode())
    (kept,) = shadow.after(served(3), body=body)
    assert shadow.remote.calls[0][0].tolist() == [[8.5]]
    assert (kept.scores.tolist(), kept.matrix.tolist()) == ([8.5], [[3.0] * 4])


def test_a_shadow_that_refuses_what_the_champion_takes_has_failed(served: MakeServed) -> None:
    stricter = Signature((*SIGNATURE.inputs, InputColumn("age", "int", nullable=False)), "binary", "customer")
    (kept,) = Shadow(signature=stricter).after(served(3))
    assert kept.status == 500
    assert "refuses the request" in str(kept.error)


# -- never more than it can take ---------------------------------------------------------------------------------------


def test_copies_share_calls_ever_more_of_them_while_the_shadow_is_quick(served: MakeServed) -> None:
    shadow = Shadow()
    assert len(shadow.after(*map(served, range(200)))) == 200
    assert [len(call) for call in shadow.remote.calls] == [1, 1, 2, 2, 4, 4, 8, 8, 16, 16, 32, 32, 64, 10]


def test_no_more_than_two_calls_are_in_flight_and_what_does_not_fit_is_dropped_and_counted(served: MakeServed) -> None:
    shadow = Shadow(Act(delay_s=0.5), queued=20)
    kept = shadow.after(*map(served, range(100)))
    assert (shadow.remote.most_running, len(kept), shadow.recorder.dropped_copies) == (2, 20, 80)


def test_the_queue_is_bounded_in_bytes_too(served: MakeServed) -> None:
    shadow = Shadow(queued_bytes=5 * 32)  # rows of four numbers
    kept = shadow.after(served(0, rows=3), served(1, rows=3), served(2, rows=2), served(3))
    assert ([k.request_id for k in kept], shadow.recorder.dropped_copies) == (["0", "2"], 2)


def test_what_was_sent_makes_room_in_the_queue(served: MakeServed) -> None:
    shadow = Shadow(queued_bytes=32)

    async def story() -> None:
        for number in range(5):
            shadow.copies.offer(served(number), BODY)
            await asyncio.sleep(1)

    run_in_fake_time(story())
    assert ([k.request_id for k in shadow.recorder.take()], shadow.recorder.dropped_copies) == (list("01234"), 0)


def test_a_call_is_bounded_in_bytes_too_and_a_large_copy_travels_alone(served: MakeServed) -> None:
    shadow = Shadow(call_bytes=4 * 32, calls=1)
    sizes = [1, 1, 1, 1, 1, 1, 1, 9, 2, 1, 2]
    shadow.after(*(served(number, rows=size) for number, size in enumerate(sizes)))
    assert [[len(matrix) for matrix in call] for call in shadow.remote.calls] == [
        [1],
        [1, 1],
        [1, 1, 1, 1],
        [9],
        [2, 1],
        [2],
    ]


def test_a_slow_shadow_gets_one_copy_a_call(served: MakeServed) -> None:
    shadow = Shadow(Act(delay_s=0.2))
    assert len(shadow.after(*map(served, range(10)))) == 10
    assert {len(call) for call in shadow.remote.calls} == {1}


def test_one_copy_alone_that_is_not_answered_is_the_shadows_failure_and_earns_it_a_rest(served: MakeServed) -> None:
    shadow = Shadow(Act("hangs"), calls=1)
    kept = shadow.after(*map(served, range(3)), s=3.5)
    assert [k.error for k in kept] == ["shadow version 2 gave no answer within 1000 ms"] * 2
    assert np.diff(shadow.remote.begun_s) == pytest.approx([2.02])


def test_copies_that_were_too_many_at_once_are_no_failures(served: MakeServed) -> None:
    shadow = Shadow(Act(), Act(), Act("hangs"), Act(), calls=1)
    kept = shadow.after(*map(served, range(10)))
    assert [k.request_id for k in kept] == ["0", "1", "2", "7", "8", "9"]
    assert (shadow.recorder.dropped_copies, [len(c) for c in shadow.remote.calls]) == (4, [1, 2, 4, 1, 2])


def test_a_copy_for_which_the_shadow_has_no_room_is_dropped(served: MakeServed) -> None:
    class Full(ScriptedVersion):
        async def predict_many(self, matrices: Any, left_s: Any) -> Any:
            await super().predict_many(matrices, left_s)
            return [NO_ROOM] * len(matrices)

    shadow = Shadow()
    shadow.copies = ShadowCopies(link(Full()), shadow.recorder, deadline_s=1.0)
    assert (shadow.after(served(1)), shadow.recorder.dropped_copies) == ([], 1)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.integers(0, 3000).map(lambda n: n / 1000), max_size=80),
    st.lists(
        st.builds(
            Act,
            kind=st.sampled_from(["answers", "raises", "hangs", "too few", "some NaN", "nonsense", "cancels itself"]),
            delay_s=st.integers(0, 1500).map(lambda n: n / 1000),
        ),
        min_size=1,
    ),
    st.floats(0.5, 60),
)
def test_every_copy_is_recorded_once_or_counted_as_dropped(
    served: MakeServed, arrivals: list[float], acts: list[Act], closed_s: float
) -> None:
    shadow = Shadow(*acts, queued=10)

    async def story() -> int:
        loop = asyncio.get_running_loop()
        offered = 0

        def offer(number: int) -> None:
            nonlocal offered
            shadow.copies.offer(served(number), BODY)
            offered += 1

        for number, at_s in enumerate(arrivals):
            loop.call_at(min(at_s, closed_s - 0.1), offer, number)
        await asyncio.sleep(closed_s)
        shadow.copies.close()
        await asyncio.sleep(0.01)
        assert asyncio.all_tasks() == {asyncio.current_task()}, "calls are left over"
        return offered

    offered = run_in_fake_time(story())
    kept = [k.request_id for k in shadow.recorder.take()]
    assert len(kept) == len(set(kept))
    assert len(kept) + shadow.recorder.dropped_copies == offered == len(arrivals)
    assert shadow.remote.most_running <= 2
    assert shadow.remote.running == 0


# -- the end -----------------------------------------------------------------------------------------------------------


def test_when_the_version_goes_nothing_more_is_asked_or_recorded(served: MakeServed) -> None:
    shadow = Shadow(Act(delay_s=0.5))

    async def story() -> None:
        for number in range(10):
            shadow.copies.offer(served(number), BODY)
        await asyncio.sleep(0.1)
        shadow.copies.close()
        shadow.copies.offer(served(11), BODY)
        await asyncio.sleep(60)

    run_in_fake_time(story())
    assert (len(shadow.remote.calls), shadow.remote.cancelled, shadow.recorder.take()) == (2, 2, [])
    assert shadow.recorder.dropped_copies == 11


def test_a_call_is_made_in_nobodys_context(served: MakeServed) -> None:
    whose = contextvars.ContextVar("whose", default="nobody's")
    seen: list[str] = []

    class Looks(ScriptedVersion):
        async def predict_many(self, matrices: Any, left_s: Any) -> Any:
            seen.append(whose.get())
            return await super().predict_many(matrices, left_s)

    async def story() -> None:
        whose.set("the client's")
        copies = ShadowCopies(link(Looks()), Recorder("replica"), deadline_s=1.0)
        copies.offer(served(1), BODY)
        await asyncio.sleep(1)

    run_in_fake_time(story())
    assert seen == ["nobody's"]


def test_copies_for_a_version_that_sleeps_are_dropped_and_counted(served: MakeServed) -> None:
    shadow = Shadow()

    async def asleep(matrices: Any, left_s: Any) -> Any:
        raise AsleepError("no replica")

    shadow.remote.predict_many = asleep  # type: ignore[method-assign]
    assert shadow.after(served(1), served(2)) == []
    assert shadow.recorder.dropped_copies == 2
