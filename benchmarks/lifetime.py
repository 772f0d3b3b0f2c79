"""Servers under measurement live until their standard input closes, so that they end with whoever started them."""

import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence

import uvicorn
from fastapi import FastAPI

__all__ = ["run_command", "serve_app", "wait_for_the_end"]

_PATIENCE_S = 10.0


def wait_for_the_end() -> None:
    """Block until standard input is closed."""
    sys.stdin.buffer.read()


def serve_app(app: FastAPI, port: int) -> None:
    """One uvicorn worker, as fast as it comes."""
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, access_log=False, log_level="warning"))

    def stop() -> None:
        wait_for_the_end()
        server.should_exit = True

    threading.Thread(target=stop, daemon=True).start()
    server.run()


def run_command(command: Sequence[str], environment: Mapping[str, str]) -> None:
    """A server that is a command line of its own."""
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, env={**os.environ, **environment}) as process:
        wait_for_the_end()
        process.terminate()
        try:
            process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
