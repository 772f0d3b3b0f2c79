"""Part of benchmarks/serving.py: requests/s of each system, and its p99 at half of that."""

from collections.abc import Sequence
from dataclasses import replace

from benchmarks.sampling import Load, Row, Sample, take_sample
from benchmarks.server_process import ServerProcess, System
from benchmarks.workload import Workload

__all__ = ["CONNECTIONS", "ENGINE", "HALF", "PART", "SYSTEMS", "measure_throughput"]

PART = "throughput"
HALF = "half saturation"
ENGINE = System("engine", "benchmarks.engine_app", "/v2/models/bench/predict")
SYSTEMS = (
    ENGINE,
    System("plain_fastapi", "benchmarks.plain_app", "/predict"),
    System("pyfunc_app", "benchmarks.pyfunc_app", "/predict"),
    System("mlflow_serve", "benchmarks.mlflow_serve_app", "/invocations", "dataframe_records"),
    System("bentoml", "benchmarks.bentoml_app", "/predict", "rows"),
    System("bare_ray_serve", "benchmarks.ray_serve_app", "/"),
)
CONNECTIONS = (1, 16)
_OPEN_CONNECTIONS = 64  # of an open loop: so many may wait at once


def measure_throughput(systems: Sequence[System], workload: Workload, *, rounds: int, seconds: float) -> list[Row]:
    """All systems side by side, one asked at a time, in turns: at saturation, then at half of it."""
    servers: dict[str, ServerProcess] = {}
    try:
        for system in systems:
            servers[system.name] = ServerProcess(system, workload.folder)
            servers[system.name].wait_until_right(workload)
        rows = _saturated(list(servers.values()), workload, rounds=rounds, seconds=seconds)
        return rows + _at_half(rows, servers, workload, rounds=rounds, seconds=seconds)
    finally:
        for server in servers.values():
            server.stop()


def _saturated(servers: Sequence[ServerProcess], workload: Workload, *, rounds: int, seconds: float) -> list[Row]:
    samples: dict[tuple[str, int], list[Sample]] = {}
    loads: dict[tuple[str, int], Load] = {}
    for _ in range(rounds):
        for connections in CONNECTIONS:
            for server in servers:
                key = (server.system.name, connections)
                loads[key] = replace(_load(server, workload, seconds), connections=connections)
                samples.setdefault(key, []).append(take_sample(key[0], loads[key], cpu_s=server.cpu_s))
    return [Row.of(PART, key[0], loads[key], samples[key]) for key in samples]


def _at_half(
    rows: Sequence[Row], servers: dict[str, ServerProcess], workload: Workload, *, rounds: int, seconds: float
) -> list[Row]:
    """Each other system at half of its own requests/s, and the engine at that very rate, turn about."""
    most = {row.system: row.requests_per_s for row in rows if row.load == f"{CONNECTIONS[-1]} connections"}
    measured: list[Row] = []
    for name in servers:
        if name == ENGINE.name or ENGINE.name not in servers:
            continue
        loads = {
            system: replace(
                _load(servers[system], workload, seconds), rate=most[name] / 2, connections=_OPEN_CONNECTIONS
            )
            for system in (name, ENGINE.name)
        }
        samples: dict[str, list[Sample]] = {system: [] for system in loads}
        for _ in range(rounds):
            for system, load in loads.items():
                samples[system].append(take_sample(system, load, cpu_s=servers[system].cpu_s))
        measured += [Row.of(f"{HALF} of {name}", system, loads[system], samples[system]) for system in loads]
    return measured


def _load(server: ServerProcess, workload: Workload, seconds: float) -> Load:
    return Load(server.url, workload.bodies(server.system.shape), seconds)
