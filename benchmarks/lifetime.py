"""Servers under measurement live until their standard input closes, so that they end with whoever started them."""

import sys
import threading

import uvicorn
from fastapi import FastAPI

__all__ = ["serve_app", "wait_for_the_end"]


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
