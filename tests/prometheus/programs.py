"""Prometheus and promtool: those installed, else Debian's package unpacked beside the tests."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest

__all__ = ["program", "run_promtool", "serving"]

_KEPT = Path(tempfile.gettempdir()) / "mlops-ray-test-prometheus"


def program(name: str) -> str:
    """The path of `prometheus` or `promtool`; the test is skipped where there is none to be had."""
    found = shutil.which(name) or _unpacked(name)
    if found is None:
        pytest.skip(f"{name} is not installed, and Debian's package prometheus cannot be fetched here")
    return found


@cache
def _unpacked(name: str) -> str | None:
    file = _KEPT / "usr" / "bin" / name
    if not file.exists():
        if not (shutil.which("apt-get") and shutil.which("dpkg")):
            return None
        with tempfile.TemporaryDirectory() as folder:
            got = subprocess.run(["apt-get", "download", "prometheus"], cwd=folder, capture_output=True, check=False)
            packages = list(Path(folder).glob("prometheus_*.deb"))
            if got.returncode or not packages:
                return None
            subprocess.run(["dpkg", "-x", str(packages[0]), str(_KEPT)], check=True)
    return str(file)


def run_promtool(*arguments: str, folder: Path, given: bytes = b"") -> str:
    """What promtool says, `given` on its standard input; an error when it is not content."""
    command = [program("promtool"), *arguments]
    done = subprocess.run(command, cwd=folder, input=given, capture_output=True, check=False, timeout=120)
    said = (done.stdout + done.stderr).decode()
    assert done.returncode == 0, said
    return said


@contextmanager
def serving(folder: Path, *, port: int, environment: Mapping[str, str] | None = None) -> Iterator[str]:
    """A real Prometheus on `folder`/prometheus.yml; its base URL."""
    command = [
        program("prometheus"),
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(timeout=30)
