"""Ways to search hyperparameters of LightGBM, or to train once, over the same rows; each tells what it took."""

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import lightgbm
import optuna
import ray
from ray import tune

from benchmarks.sweep_data import SweepData
from benchmarks.sweep_trials import boost, naive_trial
from mlops_ray.spec import ModelSpec, Workspace
from mlops_ray.tracking import DatasetInput, Outbox, Sender, Tracking
from mlops_ray.train.search import search_of, trial_count
from mlops_ray.train.sweep import run_sweep
from mlops_ray.train.sweep_log import SweepLog
from mlops_ray.train.training_data import Part, TrainingData

__all__ = ["Course", "engine_sweep", "naive_tune", "placing_s", "plain_lightgbm", "plain_optuna"]

_MLFLOW_S = 60.0


@dataclass(frozen=True)
class Course:
    """How a search went: seconds from its start, and the best validation AUC of a finished trial at that time."""

    seconds: float
    best: tuple[tuple[float, float], ...]

    def reached_s(self, auc: float) -> float | None:
        """Seconds until a finished trial was at least so good."""
        return next((seconds for seconds, value in self.best if value >= auc), None)


def engine_sweep(spec: ModelSpec, data: TrainingData, folder: Path) -> Course:
    """This engine: `run_sweep`, with MLflow on SQLite as its users have it."""
    folder.mkdir(parents=True)
    workspace = Workspace.at(folder)
    tracking = Tracking(workspace.tracking, artifacts=f"{workspace.lake}/mlflow")
    tracking.check()
    run_id = tracking.start_sweep(
        "bench", sweep="bench", name="bench", tags={}, params={}, dataset=DatasetInput("d", "d", "d", {})
    )
    outbox = Outbox(folder / "outbox")
    started = time.perf_counter()
    finished: list[tuple[float, str]] = []

    def note(sentence: str) -> None:
        finished.append((time.perf_counter() - started, sentence))

    log = SweepLog(outbox, metric=spec.train.metric, planned=trial_count(spec.train), progress=note)
    with Sender(tracking, run_id, outbox, tell=note) as sender:
        result = run_sweep(spec, workspace, data, sweep="bench", log=log)
        sender.drain(_MLFLOW_S)
    seconds = time.perf_counter() - started
    values = {trial.number: trial.value for trial in result.trials}
    course = [(at, values[int(text.split()[1])]) for at, text in finished if " completed" in text]
    return Course(seconds, _best_so_far([(at, value) for at, value in course if value is not None]))


def naive_tune(spec: ModelSpec, data: SweepData) -> Course:
    """Ray Tune as tutorials have it: every trial reads the files, makes its own Dataset and trains to its end."""
    started = time.perf_counter()
    trainable = tune.with_resources(partial(naive_trial, data=data, spec=spec), {"cpu": spec.train.resources.cpus})
    results = tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(
            metric="best_so_far",
            mode="max",
            num_samples=spec.train.trials,
            max_concurrent_trials=spec.train.max_concurrent,
            search_alg=search_of(spec.train),
        ),
        run_config=tune.RunConfig(verbose=0, storage_path=str(data.train.parent / "naive")),
    ).fit()
    values = [r.metrics["best_so_far"] for r in results if r.metrics]
    seconds = time.perf_counter() - started
    return Course(seconds, ((seconds, max(values)),))


def plain_optuna(spec: ModelSpec, train: Part, valid: Part, *, threads: int) -> Course:
    """Optuna in this process, trials one after the other with all threads, data in memory and binned once."""
    binning = {"feature_pre_filter": False, "verbose": -1, "seed": spec.train.seed, "num_threads": threads}
    started = time.perf_counter()
    dataset = lightgbm.Dataset(train.x, train.y, params=dict(binning))
    watched = lightgbm.Dataset(valid.x, valid.y, reference=dataset, params=dict(binning))
    course: list[tuple[float, float]] = []

    def objective(trial: optuna.Trial) -> float:
        params = {
            "learning_rate": trial.suggest_float("learning_rate", 0.03, 0.3, log=True),
            "num_leaves": trial.suggest_int("num_leaves", 15, 127),
            "min_data_in_leaf": trial.suggest_int("min_data_in_leaf", 20, 300),
            "feature_fraction": trial.suggest_float("feature_fraction", 0.5, 1.0),
            "lambda_l2": trial.suggest_float("lambda_l2", 0.001, 10.0, log=True),
        }
        booster = boost({**params, **binning}, dataset, watched, spec)
        value = float(booster.best_score["valid_0"]["auc"])
        course.append((time.perf_counter() - started, value))
        return value

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=spec.train.seed))
    study.optimize(objective, n_trials=spec.train.trials)
    return Course(time.perf_counter() - started, _best_so_far(course))


def plain_lightgbm(spec: ModelSpec, train: Part, valid: Part, *, threads: int) -> float:
    """Seconds of one training with `lightgbm.train`, its Datasets included."""
    params = {**spec.train.space, "verbose": -1, "seed": spec.train.seed, "num_threads": threads}
    started = time.perf_counter()
    dataset = lightgbm.Dataset(train.x, train.y)
    watched = lightgbm.Dataset(valid.x, valid.y, reference=dataset)
    boost(params, dataset, watched, spec).model_to_string()
    return time.perf_counter() - started


def _best_so_far(course: list[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    found: list[tuple[float, float]] = []
    for seconds, value in sorted(course):
        if not found or value > found[-1][1]:
            found.append((seconds, value))
    return tuple(found)


def placing_s(train: Part, valid: Part) -> float:
    """Seconds to put the rows into Ray's object store, which a sweep does once."""
    started = time.perf_counter()
    ray.put((train, valid))
    return time.perf_counter() - started
