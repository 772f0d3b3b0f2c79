"""One measurement of a server by a client in a process of its own, and what several of them come to."""

import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Load", "Row", "Sample", "Timing", "take_sample"]

ROOT = Path(__file__).resolve().parents[1]
_TIMEOUT_S = 120.0
Sample = Mapping[str, float]


@dataclass(frozen=True)
class Load:
    """What a client sends: a closed loop over so many connections, or an open one at so many requests a second."""

    url: str
    bodies: Path
    seconds: float
    connections: int = 16
    rate: float | None = None
    content_type: str = "application/json"
    base64: bool = False
    rows: int = 1  # in one request

    def __str__(self) -> str:
        return f"{self.connections} connections" if self.rate is None else "open loop"

    @property
    def command(self) -> list[str]:
        """The client's command line."""
        return [
            *(sys.executable, "-m", "benchmarks.load_client", self.url, str(self.bodies)),
            *("--connections", str(self.connections), "--seconds", str(self.seconds)),
            *("--content-type", self.content_type),
            *(() if self.rate is None else ("--rate", str(self.rate))),
            *(("--base64",) if self.base64 else ()),
        ]


@dataclass(frozen=True)
class Row:
    """One way to serve under one load: medians over the rounds, and what each round gave."""

    part: str
    system: str
    load: str
    requests_per_s: float
    rows_per_s: float
    p50_ms: float
    p99_ms: float
    server_cpu_ms: float | None  # a request, all processes of the system, whatever else they do included
    client_cpu_share: float  # of one core: far below 1, or the client would be what is measured
    requests: int
    rounds_per_s: tuple[float, ...]  # rows/s of each round
    rounds_p99_ms: tuple[float, ...]

    @classmethod
    def of(cls, part: str, system: str, load: Load, samples: Sequence[Sample]) -> "Row":
        """The rounds of one system in one part of the benchmark."""

        def median(key: str, digits: int) -> float:
            return round(statistics.median(sample[key] for sample in samples), digits)

        per_s = tuple(round(load.rows * sample["requests_per_s"], 1) for sample in samples)
        return cls(
            part=part,
            system=system,
            load=str(load),
            requests_per_s=median("requests_per_s", 1),
            rows_per_s=statistics.median(per_s),
            p50_ms=median("p50_ms", 3),
            p99_ms=median("p99_ms", 3),
            server_cpu_ms=median("server_cpu_ms", 3) if "server_cpu_ms" in samples[0] else None,
            client_cpu_share=median("client_cpu_share", 2),
            requests=int(sum(sample["requests"] for sample in samples)),
            rounds_per_s=per_s,
            rounds_p99_ms=tuple(round(sample["p99_ms"], 3) for sample in samples),
        )


@dataclass(frozen=True)
class Timing:
    """How long something took, each time it was done."""

    part: str
    what: str
    seconds: tuple[float, ...]


def take_sample(name: str, load: Load, *, cpu_s: Callable[[], float] | None = None) -> Sample:
    """Ask for a while; `cpu_s` tells the CPU seconds of the server so far.

    Raises:
        RuntimeError: a request failed.
    """
    before_s = cpu_s() if cpu_s is not None else 0.0
    done = subprocess.run(load.command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True, timeout=_TIMEOUT_S)
    found = json.loads(done.stdout.splitlines()[-1])
    problem = found.pop("problem")
    if found["failed"]:
        raise RuntimeError(f"{name}: {found['failed']} of {found['sent']} requests failed, such as: {problem}")
    if cpu_s is not None:
        found["server_cpu_ms"] = 1000 * (cpu_s() - before_s) / found["sent"]
    print(
        f"  {name}, {load}: {found['requests_per_s']:.0f}/s, p99 {found['p99_ms']:.1f} ms", file=sys.stderr, flush=True
    )
    sample: Sample = found
    return sample
