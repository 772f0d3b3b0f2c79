"""The serving path: champion replicas as front door, versions under delivery beside them."""

from mlops_ray.serve.access import Access
from mlops_ray.serve.answer import Answer
from mlops_ray.serve.application import server_application
from mlops_ray.serve.applied import Applied
from mlops_ray.serve.front_door import FrontDoor
from mlops_ray.serve.hosting import AppStatus, Hosting, RayHosting, start_serve
from mlops_ray.serve.http import (
    Headers,
    Receive,
    Response,
    Scope,
    Send,
    error_response,
    json_response,
    read_body,
    send_response,
)
from mlops_ray.serve.server_app import ADMIN, METRICS_PATH
from mlops_ray.serve.version_door import VersionDoor
from mlops_ray.serve.versions import Versions, app_name

__all__ = [
    "ADMIN",
    "METRICS_PATH",
    "Access",
    "Answer",
    "AppStatus",
    "Applied",
    "FrontDoor",
    "Headers",
    "Hosting",
    "RayHosting",
    "Receive",
    "Response",
    "Scope",
    "Send",
    "VersionDoor",
    "Versions",
    "app_name",
    "error_response",
    "json_response",
    "read_body",
    "send_response",
    "server_application",
    "start_serve",
]
