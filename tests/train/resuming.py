"""The driver of a sweep as a process of its own, and trainers that leave time to kill it."""

import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import ray

from mlops_ray.model import TrainedModel
from mlops_ray.spec import ModelSpec, Workspace
from mlops_ray.tracking import CodeVersion
from mlops_ray.train import TrialContext, run_training, train_lightgbm
from mlops_ray.train.trainers import find_trainer

__all__ = ["killed_once", "paused", "slow_trainer"]

_STEPS = 10


def slow_trainer(context: TrialContext) -> TrainedModel:
    """Ten reports, some tenths of a second apart, then a small model; each start leaves a trace."""
    (Path(str(context.params["traces"])) / f"{time.time_ns()}-{context.params['num_leaves']}").touch()
    for step in range(1, _STEPS + 1):
        time.sleep(float(context.params["pause_s"]))
        context.log({"loss": 1 / step}, step)
        context.report(step, {context.metric: 0.5 + step / 100})
    params = {"num_leaves": context.params["num_leaves"]}
    return train_lightgbm(replace(context, params=params, report=_nowhere, checkpoint=_nowhere))


def paused(context: TrialContext) -> TrainedModel:
    """LightGBM that takes its time between two checkpoints; each start leaves a trace of what it goes on from."""
    params = dict(context.params)
    traces, pause_s = Path(str(params.pop("traces"))), float(params.pop("pause_s"))
    (traces / f"{time.time_ns()}-{'resumed' if context.resume else 'new'}").touch()

    def checkpoint(iteration: int, metrics: Mapping[str, float], state: bytes | Callable[[], bytes]) -> None:
        time.sleep(pause_s)
        context.checkpoint(iteration, metrics, state)

    return train_lightgbm(replace(context, params=params, checkpoint=checkpoint))


def killed_once(context: TrialContext) -> TrainedModel:
    """The trainer `by`, whose worker is killed after its sixth checkpoint unless there is a trace of that already."""
    params = dict(context.params)
    traces, trainer = Path(str(params.pop("traces"))), find_trainer(str(params.pop("by")))

    def checkpoint(iteration: int, metrics: Mapping[str, float], state: bytes | Callable[[], bytes]) -> None:
        context.checkpoint(iteration, metrics, state)
        if iteration == 6 and not any(traces.iterdir()):
            (traces / "killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)

    return trainer(replace(context, params=params, checkpoint=checkpoint))


def _nowhere(*_: object) -> None:
    """The reports were made already."""


if __name__ == "__main__":
    spec, workspace, resume = (Path(sys.argv[1]).read_text(), Path(sys.argv[2]).read_text(), sys.argv[3] == "resume")
    place = Workspace.model_validate_json(workspace)
    ray.init(address=place.ray_address, namespace="resuming", log_to_driver=False, configure_logging=False)
    record = run_training(
        ModelSpec.model_validate_json(spec),
        place,
        resume=resume,
        actor="test",
        clock=time.time,
        code=CodeVersion("c" * 40, False, "d" * 64, "3.11", {"numpy": "2"}),
        progress=lambda sentence: print(sentence, flush=True),
    )
    print("registered", record.version, flush=True)
