"""An Iceberg REST catalog of the tests' own: pyiceberg's SQL catalog behind the part of the protocol that is used."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from pyiceberg.catalog import Catalog, load_catalog
from pyiceberg.catalog.rest import CreateTableRequest, TableResponse
from pyiceberg.exceptions import (
    CommitFailedException,
    NamespaceAlreadyExistsError,
    NoSuchNamespaceError,
    NoSuchTableError,
)
from pyiceberg.table import CommitTableRequest, Table

TOKEN = "a-token"
_STATUS = {
    NoSuchTableError: 404,
    NoSuchNamespaceError: 404,
    NamespaceAlreadyExistsError: 409,
    CommitFailedException: 409,
}


@contextmanager
def rest_catalog(folder: Path) -> Iterator[str]:
    """The server's URL, as a workspace names it; it wants the token."""
    behind = load_catalog("behind", type="sql", uri=f"sqlite:///{folder / 'rest.db'}", warehouse=folder.as_uri())
    handler = type("Handler", (_Handler,), {"catalog": behind, "lock": threading.Lock()})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"rest+http://127.0.0.1:{server.server_address[1]}?token={TOKEN}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    catalog: Catalog
    lock: threading.Lock

    def log_message(self, *_: Any) -> None:
        return

    def do_GET(self) -> None:
        self._answer(b"")

    def do_HEAD(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers["Content-Length"])))

    def _answer(self, body: bytes) -> None:
        status, content = 200, ""
        try:
            if self.headers["Authorization"] != f"Bearer {TOKEN}":
                status, content = 401, _error("NotAuthorizedException", "wrong token", 401)
            else:
                with self.lock:  # SQLite's connection is one for all threads
                    content = self._act([unquote(part) for part in urlsplit(self.path).path.split("/")[2:]], body)
        except tuple(_STATUS) as error:
            status = _STATUS[type(error)]
            content = _error(type(error).__name__, str(error), status)
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content.encode())))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content.encode())

    def _act(self, path: list[str], body: bytes) -> str:
        match path:
            case ["config"]:
                return json.dumps({"defaults": {}, "overrides": {}})
            case ["namespaces"] if body:
                namespace = json.loads(body)["namespace"]
                self.catalog.create_namespace(tuple(namespace))
                return json.dumps({"namespace": namespace, "properties": {}})
            case ["namespaces", namespace]:
                self.catalog.load_namespace_properties(namespace)
                return json.dumps({"namespace": [namespace], "properties": {}})
            case ["namespaces", namespace, "tables"]:
                return _table(self._staged(namespace, CreateTableRequest.model_validate_json(body)))
            case ["namespaces", namespace, "tables", name] if body:
                return self._commit((namespace, name), CommitTableRequest.model_validate_json(body))
            case ["namespaces", namespace, "tables", name]:
                return _table(self.catalog.load_table((namespace, name)))
        raise NoSuchTableError(f"no such path: {path}")

    def _staged(self, namespace: str, wanted: CreateTableRequest) -> Table:
        assert wanted.stage_create
        creation = self.catalog.create_table_transaction(
            (namespace, wanted.name), wanted.table_schema, location=wanted.location
        )
        return creation._table

    def _commit(self, name: tuple[str, str], wanted: CommitTableRequest) -> str:
        try:
            table: Table = self.catalog.load_table(name)
        except NoSuchTableError:
            first = json.loads(wanted.model_dump_json())
            location = next(u["location"] for u in first["updates"] if u["action"] == "set-location")
            empty = self.catalog.create_table_transaction(name, _schema_of(wanted), location=location)
            table = empty._table
        return self.catalog.commit_table(table, wanted.requirements, wanted.updates).model_dump_json(by_alias=True)


def _schema_of(wanted: CommitTableRequest) -> Any:
    return next(update.schema_ for update in wanted.updates if update.action == "add-schema")


def _table(table: Table) -> str:
    location = table.metadata_location
    return TableResponse(metadata=table.metadata, **{"metadata-location": location}).model_dump_json(by_alias=True)


def _error(kind: str, message: str, code: int) -> str:
    return json.dumps({"error": {"type": kind, "message": message, "code": code}})
