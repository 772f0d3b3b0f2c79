"""BentoML in an environment of its own (`make bench-setup`): `python -m benchmarks.bentoml_app FOLDER PORT`."""

import sys
from pathlib import Path

from benchmarks.lifetime import run_command

ROOT = Path(__file__).resolve().parents[1]
# Its requirements and ours need not agree.
BENTOML = ROOT / ".venv-bench" / "bin" / "bentoml"


def main(folder: Path, port: int) -> None:
    """Serve until standard input closes; answers POST /predict."""
    service = Path(__file__).parent
    command = [
        *(str(BENTOML), "serve", "bentoml_service:Predictor", "--working-dir", str(service)),
        *("--host", "127.0.0.1", "--port", str(port)),
    ]
    environment = {
        "BENCHMARK_MODEL_FILE": str(folder / "model.lgb.txt"),
        "BENTOML_HOME": str(folder / "bentoml"),
        "BENTOML_DO_NOT_TRACK": "true",
    }
    run_command(command, environment)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
