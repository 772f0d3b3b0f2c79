"""Ingests in processes of their own, which wait for a word before they begin, and may be killed at any moment."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

__all__ = ["Ingesting"]

_SCRIPT = """
import sys, ray
from mlops_ray.data import ingest
from mlops_ray.spec import Workspace
from tests.data.batches import spec_of
source, home, address, run_id = sys.argv[1:]
ray.init(address=address, namespace="mlops_ray", log_to_driver=False)
spec, workspace = spec_of(source), Workspace.at(home)
print("ready", flush=True)
sys.stdin.readline()
version = ingest(spec, workspace, now_s=0, run_id=run_id).version
print(f"done {version.number}", flush=True)
"""


class Ingesting:
    """One such process."""

    def __init__(self, source: Path, home: str, address: str, run_id: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _SCRIPT, str(source), home, address, run_id],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def begin(self) -> Self:
        """Wait until it is connected to Ray, and let it go."""
        self.read("ready")
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        return self

    def read(self, word: str) -> str:
        """What it says after `word`."""
        assert self._process.stdout is not None
        line = next((line for line in self._process.stdout if line.startswith(word)), None)
        assert line is not None, f"the process ended with {self._process.wait()} before it said {word!r}"
        return line.removeprefix(word).strip()

    def kill_after(self, delay_s: float) -> None:
        """SIGKILL, whatever it does then."""
        time.sleep(delay_s)
        self.close()

    def kill_once(self, seen: Callable[[], bool], *, delay_s: float) -> None:
        """SIGKILL, `delay_s` after something is seen; or after it has ended."""
        while not seen() and self._process.poll() is None:
            time.sleep(0.001)
        self.kill_after(delay_s)

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
