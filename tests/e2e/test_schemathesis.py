"""Requests made of a served model's OpenAPI document, over HTTP: no answer is a 5xx, each is as the document says."""

from collections.abc import Iterator

import pyarrow as pa
import pytest
import requests

from mlops_ray.spec import Workspace
from tests.e2e.toy import Toy, rows
from tests.generated_requests import send_generated, streams
from tests.serve.test_arrow_rows import stream

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def toy(live: Workspace) -> Iterator[Toy]:
    """A champion that answers."""
    toy = Toy(live, "generated").first_champion()
    yield toy
    toy.retire()


def test_a_served_model_answers_as_its_document_says(toy: Toy) -> None:
    streams(stream(pa.Table.from_pylist(rows(3, seed=1))))
    document = requests.get(f"{toy.url}/openapi.json", timeout=30).json()
    sent = send_generated(document, examples=15, base_url=toy.workspace.serve, thorough=False)
    assert sent.failures == (), "\n\n".join(sent.failures)
    assert [status for status in sent.statuses if status >= 500] == []
    assert sent.cases >= 150
    assert {200, 404, 422} <= set(sent.statuses)
