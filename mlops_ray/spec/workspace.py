"""Where the outside systems are: one value, made of URLs only, so that a laptop and a cluster run the same code."""

import hashlib
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, ValidationError

from mlops_ray.errors import SpecError
from mlops_ray.spec.section import Section
from mlops_ray.spec.source import secrets_in

__all__ = [
    "CONTROL_ACTOR",
    "DRIFT_ACTOR",
    "GLUE",
    "REST",
    "Workspace",
    "is_address",
    "is_glue",
    "is_rest",
    "without_password",
]

# Names of the detached actors in the workspace's Ray namespace.
CONTROL_ACTOR = "mlops_ray.control"
DRIFT_ACTOR = "mlops_ray.drift"

# How catalogs that are no SQL database begin.
REST, GLUE = "rest+", "glue://"

_FILE = "workspace.json"
_PREFIX = "MLOPS_RAY_"


class Workspace(Section):
    """The systems one installation talks to."""

    home: str = Field(description="absolute folder for local state")
    lake: str = Field(description="folder URI or s3:// prefix for tables, records, models and quarantine")
    store: str = Field(description="SQLAlchemy URL of state and audit chain")
    catalog: str = Field(description="Iceberg catalog: SQLAlchemy URL, rest+https://host/path, or glue://region")
    tracking: str = Field(description="MLflow tracking URI")
    ray_address: str = Field("auto", description="host:port of the cluster's GCS, or auto")
    dashboard: str = Field("http://127.0.0.1:8265", description="Ray dashboard and job API")
    serve: str = Field("http://127.0.0.1:8000", description="base URL of Ray Serve's HTTP ingress")
    grpc_port: int = Field(
        0, ge=0, le=65_535, description="port of Ray Serve's gRPC ingress, on the host of `serve`; 0: none"
    )
    mlflow_ui: str = Field("http://127.0.0.1:5000", description="where a person looks at MLflow")
    prometheus: str = Field("", description="base URL of Prometheus, for promql metrics of rollouts; empty: none")
    auth: Literal["auto", "on", "off"] = Field(
        "auto", description="API keys for requests to models; auto: on unless `serve` is a loopback address"
    )
    tracking_patience_s: float = Field(
        900.0,
        ge=0,
        description="how long a retraining's start and the end of any training wait for an MLflow that does not answer",
    )
    price_cpu_hour: float = Field(0.0, ge=0, description="price of one CPU for an hour, in any currency; 0: not known")
    price_gpu_hour: float = Field(0.0, ge=0, description="price of one GPU for an hour; 0: not known")
    namespace: str = Field("mlops_ray", description="Ray namespace of the control and drift actors")
    drift_shards: int = Field(1, ge=1, le=64, description="drift actors; each watches a share of the models")

    @property
    def drift_actors(self) -> tuple[str, ...]:
        """Names of the drift actors."""
        return tuple(DRIFT_ACTOR if shard == 0 else f"{DRIFT_ACTOR}.{shard}" for shard in range(self.drift_shards))

    def drift_actor_of(self, model: str) -> str:
        """Name of the drift actor that watches a model: the same in every process."""
        shard = int.from_bytes(hashlib.blake2b(model.encode(), digest_size=8).digest(), "big") % self.drift_shards
        return self.drift_actors[shard]

    @property
    def serve_address(self) -> tuple[str, int]:
        """Host and port of Ray Serve's HTTP ingress."""
        parts = urlsplit(self.serve)
        return parts.hostname or "127.0.0.1", parts.port or 8000

    @property
    def own_ingress(self) -> tuple[str, int] | None:
        """Host and port where a replica reaches the HTTP ingress of its own node.

        None where a name stands for the ingress, or TLS before it: that may be another machine's.

        >>> [Workspace.at("/x", serve=url).own_ingress for url in ("http://0.0.0.0:8000", "http://10.0.0.5:80")]
        [('127.0.0.1', 8000), ('10.0.0.5', 80)]
        >>> Workspace.at("/x", serve="https://models.example.org").own_ingress
        """
        host, port = self.serve_address
        if not is_address(host) or not self.serve.startswith("http://"):
            return None
        return ("127.0.0.1" if ip_address(host).is_unspecified else host), port

    @classmethod
    def at(cls, home: str | Path, **changes: str) -> Self:
        """The workspace that keeps everything in one local folder."""
        root = Path(home).expanduser().resolve()
        local = {
            "home": str(root),
            "lake": (root / "lake").as_uri(),
            "store": f"sqlite:///{root / 'store.db'}",
            "catalog": f"sqlite:///{root / 'catalog.db'}",
            "tracking": f"sqlite:///{root / 'mlflow.db'}",
        }
        return cls.model_validate(local | changes)

    @classmethod
    def load(cls, home: str | Path, environment: Mapping[str, str]) -> Self:
        """The workspace saved in `home`, or the local default; `MLOPS_RAY_LAKE` and the like override single fields.

        Raises:
            SpecError: the saved file is not a workspace, or a value is not as expected.
        """
        root = Path(home).expanduser().resolve()
        changes = {
            field: environment[_PREFIX + field.upper()]
            for field in cls.model_fields
            if field != "home" and _PREFIX + field.upper() in environment
        }
        file = root / _FILE
        try:
            saved = cls.model_validate_json(file.read_bytes()) if file.exists() else cls.at(root)
            return cls.model_validate(saved.model_dump() | {"home": str(root)} | changes)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "the file"
            raise SpecError(f"workspace {file}: {where}: {first['msg']}, found {first['input']!r}") from None

    def save(self) -> None:
        """Write the workspace into its home, so that later commands find it."""
        root = Path(self.home)
        root.mkdir(parents=True, exist_ok=True)
        temporary = root / f"{_FILE}.new"
        temporary.touch(mode=0o600)  # the URLs may hold passwords
        temporary.write_text(self.model_dump_json(indent=2), encoding="utf-8")
        temporary.replace(root / _FILE)


def is_address(host: str) -> bool:
    """Whether `host` is an IP address, and no name.

    >>> is_address("10.0.0.5"), is_address("::1"), is_address("localhost")
    (True, True, False)
    """
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def is_rest(catalog: str) -> bool:
    """Whether a catalog is spoken to by Iceberg's REST protocol."""
    return catalog.startswith(REST)


def is_glue(catalog: str) -> bool:
    """Whether a catalog is AWS Glue's."""
    return catalog.startswith(GLUE)


def without_password(url: str) -> str:
    """The URL as it may be shown, without the secrets in its query too.

    >>> without_password("http://me:secret@mlflow:5000/x"), without_password("rest+https://host?token=secret")
    ('http://me:***@mlflow:5000/x', 'rest+https://host?token=***')
    """
    parts = urlsplit(url)
    if parts.password:
        url = url.replace(f":{parts.password}@", ":***@", 1)
    for secret in secrets_in(parts.query):
        url = url.replace(f"={secret}", "=***")
    return url
