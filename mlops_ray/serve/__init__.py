"""The serving path: champion replicas as front door, versions under delivery beside them."""

from mlops_ray.serve.answer import Answer
from mlops_ray.serve.application import server_application
from mlops_ray.serve.front_door import Applied, FrontDoor
from mlops_ray.serve.hosting import AppStatus, Hosting, RayHosting, start_serve
from mlops_ray.serve.version_door import VersionDoor
from mlops_ray.serve.versions import Versions, app_name

__all__ = [
    "Answer",
    "AppStatus",
    "Applied",
    "FrontDoor",
    "Hosting",
    "RayHosting",
    "VersionDoor",
    "Versions",
    "app_name",
    "server_application",
    "start_serve",
]
