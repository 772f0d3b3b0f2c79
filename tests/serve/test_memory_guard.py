import subprocess
import sys
import textwrap
import threading

from mlops_ray.serve.memory_guard import EXIT_CODE, start_memory_guard


def running(body: str) -> subprocess.CompletedProcess[str]:
    """A process that may use 50 MB more than it does at its start."""
    script = f"""
import logging, psutil, time
from mlops_ray.serve.memory_guard import start_memory_guard
logging.basicConfig()
limit_mb = int(psutil.Process().memory_info().rss / 2**20) + 50
start_memory_guard(limit_mb, who="replica of shop", every_s=0.01)
{textwrap.dedent(body)}
"""
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=120)


def test_a_process_that_eats_memory_ends_and_says_why() -> None:
    done = running(
        """
        eaten = []
        for _ in range(2000):
            eaten.append(b"x" * 2**20)
            time.sleep(0.001)
        print("survived")
        """
    )
    assert (done.returncode, done.stdout) == (EXIT_CODE, "")
    [line] = done.stderr.splitlines()
    assert line.startswith("CRITICAL:mlops_ray.serve.memory_guard:replica of shop uses ")
    assert "more than serve.memory_mb" in line


def test_a_process_within_its_limit_is_left_alone_and_ends_as_it_likes() -> None:
    done = running(
        """
        eaten = b"x" * 2**20
        for _ in range(20):
            time.sleep(0.01)
        print("survived")
        """
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "survived\n", "")


def test_without_a_limit_nothing_is_watched() -> None:
    start_memory_guard(None, who="replica of shop")
    assert "memory-guard" not in [thread.name for thread in threading.enumerate()]
