"""One POST of JSON, and what its answer means for another attempt."""

import os
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import requests

from mlops_ray.errors import AlertError

__all__ = ["host_of", "post", "resolved"]

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
# The receiver understood, and will not take this content; another attempt brings the same answer.
_REFUSED = (400, 413, 422)
_LONGEST_WAIT_S = 3600.0
_SHOWN = 200


def resolved(text: str, name: str) -> str:
    """The text with every `${NAME}` replaced from the environment.

    Raises:
        AlertError: a variable is not set where this process runs.
    """

    def value(match: re.Match[str]) -> str:
        if match[1] not in os.environ:
            raise AlertError(f"{name}: expected the environment variable {match[1]} to be set, found it is not")
        return os.environ[match[1]]

    return _VARIABLE.sub(value, text)


def host_of(url: str) -> str:
    """The part of a URL that is no secret; of one that the environment holds, the variable's name.

    >>> host_of("https://user:pw@hooks.example.com:8443/SECRET"), host_of("${SLACK_URL}")
    ('https://hooks.example.com:8443', 'SLACK_URL')
    """
    variable = _VARIABLE.match(url)
    if variable:
        return variable[1]
    parts = urlsplit(url)
    return f"{parts.scheme}://{_VARIABLE.sub('...', parts.netloc).rpartition('@')[2]}"


def post(url: str, body: Any, *, name: str, timeout_s: float, headers: Mapping[str, str] | None = None) -> None:
    """POST once; `url` is as in the spec.

    Raises:
        AlertError: no answer in time, or one other than 2xx; `final` where another attempt is of no use.
    """
    # A redirect is refused: following it turns a POST into a GET, which delivers nothing and is answered 200.
    try:
        with requests.post(
            resolved(url, name),
            json=body,
            timeout=timeout_s,
            allow_redirects=False,
            headers=dict(headers or {}),
            stream=True,  # what a receiver says beyond its status is not waited for
        ) as answer:
            if 200 <= answer.status_code < 300:
                return
            said = next(answer.iter_content(_SHOWN), b"").decode("utf-8", "replace").replace(resolved(url, name), "...")
    except requests.RequestException as error:
        # The error's own text and its causes hold the URL.
        raise AlertError(f"{name}: expected an answer, found {type(error).__name__}") from None
    raise AlertError(
        f"{name}: expected status 2xx, found {answer.status_code}: {said!r}",
        answer.status_code in _REFUSED,
        _retry_after_s(answer.headers.get("Retry-After", "")),
    )


def _retry_after_s(value: str) -> float:
    """Seconds that the receiver asks to wait; 0 where it does not say, or says a date."""
    return min(float(value), _LONGEST_WAIT_S) if value.isascii() and value.isdigit() else 0.0
