"""How fast the champion path is: `python -m benchmarks.serving [--json] [--output benchmarks/results/serving.json]`.

Four ways to serve one LightGBM model (100 trees, 30 features), asked for one row at a time by the same client over 1
and 16 keep-alive connections, in interleaved rounds on this machine; medians over the rounds. Ratios are of requests/s
at 16 connections. Ends in less than five minutes.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[1]
# `python benchmarks/serving.py` is as good as `python -m benchmarks.serving`.
sys.path.insert(0, str(ROOT))

from benchmarks.server_process import ServerProcess, System  # noqa: E402
from benchmarks.workload import Workload, make_workload  # noqa: E402

ENGINE = System("engine", "benchmarks.engine_app", "/v2/models/bench/predict")
BARE_RAY_SERVE = System("bare_ray_serve", "benchmarks.ray_serve_app", "/")
PYFUNC_APP = System("pyfunc_app", "benchmarks.pyfunc_app", "/predict")
PLAIN_FASTAPI = System("plain_fastapi", "benchmarks.plain_app", "/predict")
SYSTEMS = (ENGINE, BARE_RAY_SERVE, PYFUNC_APP, PLAIN_FASTAPI)
CONNECTIONS = (1, 16)
_PACKAGES = ("mlops-ray", "ray", "lightgbm", "fastapi", "uvicorn", "mlflow", "pandas", "numpy", "orjson", "msgspec")


@dataclass(frozen=True)
class Row:
    """One system at one number of connections: medians over the rounds."""

    system: str
    connections: int
    requests_per_s: float
    p50_ms: float
    p99_ms: float
    server_cpu_ms: float  # a request, all processes of the system, whatever they do beside the requests included
    client_cpu_share: float  # of one core: far below 1, or the client would be what is measured
    requests: int


def main() -> None:
    """Measure, print, and write the result where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object on the last line")
    parser.add_argument("--output", type=Path, help="write the result to this file too")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each measurement")
    parser.add_argument("--systems", nargs="+", choices=[s.name for s in SYSTEMS], help="only these, without ratios")
    arguments = parser.parse_args()
    systems = [s for s in SYSTEMS if arguments.systems is None or s.name in arguments.systems]
    started_s = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        workload = make_workload(Path(folder), seed=7)
        rows = measure(systems, workload, rounds=arguments.rounds, seconds=arguments.seconds)
    result = {
        "benchmark": "serving",
        "machine": _machine(),
        "versions": {package: version(package) for package in _PACKAGES} | {"python": platform.python_version()},
        "rows": [asdict(row) for row in rows],
        "ratios_at_connections": CONNECTIONS[-1],
        "ratios": ratios(rows),
        "wall_s": round(time.monotonic() - started_s, 1),
    }
    print(_table(rows))
    print(f"requests/s at {CONNECTIONS[-1]} connections: {result['ratios']}")
    if arguments.output is not None:
        arguments.output.write_text(json.dumps(result, indent=1) + "\n")
    if arguments.json:
        print(json.dumps(result))


def measure(systems: Sequence[System], workload: Workload, *, rounds: int, seconds: float) -> list[Row]:
    """All systems side by side, one asked at a time, in turns."""
    servers: list[ServerProcess] = []
    try:
        for system in systems:
            _say(f"starting {system.name}")
            servers.append(ServerProcess(system, workload.folder))
            servers[-1].wait_until_right(workload.first_body, workload.first_score)
        samples: dict[tuple[str, int], list[dict[str, float]]] = {}
        for turn in range(rounds):
            for connections in CONNECTIONS:
                for server in servers:
                    sample = _sample(server, workload, connections, seconds)
                    _say(f"round {turn + 1}: {server.system.name} x{connections}: {sample['requests_per_s']:.0f}/s")
                    samples.setdefault((server.system.name, connections), []).append(sample)
    finally:
        for server in servers:
            server.stop()
    return [_row(name, connections, several) for (name, connections), several in samples.items()]


def ratios(rows: Sequence[Row]) -> dict[str, float]:
    """The engine's requests/s over the others' at the most connections, as far as they were measured."""
    at = {row.system: row.requests_per_s for row in rows if row.connections == CONNECTIONS[-1]}
    if ENGINE.name not in at:
        return {}
    others = [name for name in at if name != ENGINE.name]
    return {f"engine_over_{name}": round(at[ENGINE.name] / at[name], 3) for name in others}


def _sample(server: ServerProcess, workload: Workload, connections: int, seconds: float) -> dict[str, float]:
    command = [
        *(sys.executable, "-m", "benchmarks.load_client", server.url, str(workload.bodies)),
        *("--connections", str(connections), "--seconds", str(seconds)),
    ]
    cpu_s = server.cpu_s()
    output = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True, timeout=120).stdout
    sample: dict[str, Any] = json.loads(output.splitlines()[-1])
    if sample["failed"]:
        raise RuntimeError(f"{server.system.name}: {sample['failed']} requests failed, such as: {sample['problem']}")
    return {**sample, "server_cpu_ms": 1000 * (server.cpu_s() - cpu_s) / sample["sent"]}


def _row(name: str, connections: int, samples: Sequence[dict[str, float]]) -> Row:
    def median(key: str, digits: int) -> float:
        return round(statistics.median(sample[key] for sample in samples), digits)

    return Row(
        system=name,
        connections=connections,
        requests_per_s=median("requests_per_s", 1),
        p50_ms=median("p50_ms", 3),
        p99_ms=median("p99_ms", 3),
        server_cpu_ms=median("server_cpu_ms", 3),
        client_cpu_share=median("client_cpu_share", 2),
        requests=int(sum(sample["requests"] for sample in samples)),
    )


def _machine() -> dict[str, Any]:
    info = Path("/proc/cpuinfo")
    names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
    return {
        "cpu": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "system": platform.platform(),
        "load_average_1min": round(os.getloadavg()[0], 2),
    }


def _table(rows: Sequence[Row]) -> str:
    lines = [f"{'system':16}{'connections':>12}{'requests/s':>12}{'p50 ms':>9}{'p99 ms':>9}{'CPU ms/request':>16}"]
    lines += [
        f"{r.system:16}{r.connections:12}{r.requests_per_s:12.0f}{r.p50_ms:9.2f}{r.p99_ms:9.2f}{r.server_cpu_ms:16.3f}"
        for r in sorted(rows, key=lambda r: (r.connections, -r.requests_per_s))
    ]
    return "\n".join(lines)


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
