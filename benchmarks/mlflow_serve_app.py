"""`mlflow models serve` with one worker in this environment: `python -m benchmarks.mlflow_serve_app FOLDER PORT`."""

import os
import sys
from pathlib import Path

from benchmarks.lifetime import run_command
from benchmarks.pyfunc_app import save_with_mlflow


def main(folder: Path, port: int) -> None:
    """Serve until standard input closes; answers POST /invocations."""
    saved = save_with_mlflow(folder)
    command = [
        *(sys.executable, "-m", "mlflow", "models", "serve", "--model-uri", str(saved), "--env-manager", "local"),
        *("--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
    ]
    # It looks for uvicorn on the PATH. An access log costs time that nobody else here pays.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    run_command(command, {"PATH": path, "UVICORN_ACCESS_LOG": "false"})


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
