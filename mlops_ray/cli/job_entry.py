"""What the scripts in jobs/ share: `--spec FILE` in, the command of the same name out, JSON as the last line."""

import argparse
import sys
from pathlib import Path

from mlops_ray.cli.app import main
from mlops_ray.errors import SpecError
from mlops_ray.spec import load_spec

__all__ = ["run_job"]


def run_job(command: str, *, by_name: bool = False) -> None:
    """Run `mlops-ray <command> <spec> ...`; with `by_name`, `mlops-ray <command> <name of the spec's model> ...`.

    Every other argument is passed on as it is. Ends the process as the command does.
    """
    parser = argparse.ArgumentParser(prog=f"jobs/{command}.py")
    parser.add_argument("--spec", required=True, type=Path, help="the spec of the model")
    known, others = parser.parse_known_args()
    subject = str(known.spec)
    if by_name:
        try:
            subject = load_spec(known.spec).name
        except SpecError as error:
            sys.exit(f"error: {error}")
    sys.argv = ["mlops-ray", command, subject, *others, "--json"]
    main()
