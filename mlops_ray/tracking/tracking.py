"""The one adapter to MLflow: runs, their metrics, and registered model versions."""

import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mlops_ray.errors import TrackingError
from mlops_ray.tracking.connection import check_reachable, connect, quiet_mlflow, reporting
from mlops_ray.tracking.model_folder import write_model_folder
from mlops_ray.tracking.values import DatasetInput, MetricPoint, ModelInput

if TYPE_CHECKING:
    from mlflow import MlflowClient

__all__ = ["RunStatus", "Tracking"]

RunStatus = Literal["FINISHED", "FAILED", "KILLED"]

_TRIAL = "mlops_ray.trial"
_SWEEP = "mlops_ray.sweep"
_PARENT = "mlflow.parentRunId"
# limits of MLflow's API
_METRICS_PER_BATCH = 1000
_PARAMS_PER_BATCH = 100
_VALUE_CHARACTERS = 5000
_DIGEST_CHARACTERS = 36


class Tracking:
    """An MLflow at `uri`; experiments made here keep their artifacts under `artifacts`, a folder or s3:// URI.

    Every method raises TrackingError, which names the URI, when MLflow cannot be reached or refuses.
    """

    def __init__(self, uri: str, *, artifacts: str, clock: Callable[[], float] = time.time) -> None:
        self.uri = uri
        self._artifacts = artifacts.rstrip("/")
        self._clock = clock

    @cached_property
    def _client(self) -> "MlflowClient":
        return connect(self.uri)

    def check(self) -> None:
        """TrackingError within about 10 s when MLflow is not there."""
        check_reachable(self.uri)
        with reporting(self.uri, "list experiments"):
            self._client.search_experiments(max_results=1)

    def check_alive(self) -> None:
        """TrackingError when nobody answers; one short question."""
        check_reachable(self.uri)

    def start_sweep(
        self,
        model: str,
        *,
        sweep: str,
        name: str,
        tags: Mapping[str, str],
        params: Mapping[str, object],
        dataset: DatasetInput,
    ) -> str:
        """The parent run of the sweep with the id `sweep`, in the experiment of `model`; asked again, the same run.

        A run that was ended goes on.
        """
        with reporting(self.uri, f"start the run of sweep {name}"):
            experiment = self._experiment(model)
            known = self._client.search_runs([experiment], f"tags.`{_SWEEP}` = '{sweep}'", max_results=1)
            if known:
                run_id = str(known[0].info.run_id)
                self.reopen(run_id)
            else:
                run = self._client.create_run(experiment, run_name=name, tags=_shortened({**tags, _SWEEP: sweep}))
                run_id = str(run.info.run_id)
            # for a known run, too: whoever made it may not have come further
            self._log_params(run_id, params)
            self._log_dataset(run_id, dataset)
        return run_id

    def reopen(self, run_id: str) -> None:
        """Let a run that was ended go on."""
        with reporting(self.uri, f"go on with run {run_id}"):
            self._client.update_run(run_id, status="RUNNING")

    def drop_doubles(self, sweep_run: str, runs: Mapping[str, str]) -> int:
        """Delete child runs of trials whose run, by `runs`, is another one; how many.

        A server that stood still may carry out a request to make a run twice: at first, and when it was asked again.
        """
        with reporting(self.uri, f"look at the trials of run {sweep_run}"):
            experiment = self._client.get_run(sweep_run).info.experiment_id
            children: list[Any] = []
            token: str | None = None
            while token != "":
                page = self._client.search_runs([experiment], f"tags.`{_PARENT}` = '{sweep_run}'", page_token=token)
                children, token = [*children, *page], page.token or ""
            doubles = [
                child.info.run_id
                for child in children
                if runs.get(child.data.tags.get(_TRIAL, ""), child.info.run_id) != child.info.run_id
            ]
            for run_id in doubles:
                self._client.delete_run(run_id)
        return len(doubles)

    def start_trial(self, sweep_run: str, trial_id: str, params: Mapping[str, object]) -> str:
        """The child run of one trial; asked again for the same trial, the same run."""
        with reporting(self.uri, f"start the run of trial {trial_id}"):
            experiment = self._client.get_run(sweep_run).info.experiment_id
            known = self._client.search_runs(
                [experiment], f"tags.`{_TRIAL}` = '{trial_id}' and tags.`{_PARENT}` = '{sweep_run}'", max_results=1
            )
            if known:
                run_id = str(known[0].info.run_id)
            else:
                run = self._client.create_run(
                    experiment, run_name=trial_id, tags={_TRIAL: trial_id, _PARENT: sweep_run}
                )
                run_id = str(run.info.run_id)
            self._log_params(run_id, params)
        return run_id

    def log_metrics(self, run_id: str, metrics: Mapping[str, float], step: int) -> None:
        """Log values of one step, now."""
        now_s = self._clock()
        self.log_points(run_id, [MetricPoint(name, value, step, now_s) for name, value in metrics.items()])

    def log_once(self, run_id: str, metrics: Mapping[str, float]) -> None:
        """Log values of a run that have no steps, as far as it does not have them already."""
        with reporting(self.uri, f"read run {run_id}"):
            known = self._client.get_run(run_id).data.metrics
        self.log_metrics(run_id, {name: value for name, value in metrics.items() if name not in known}, step=0)

    def log_points(self, run_id: str, points: Sequence[MetricPoint]) -> None:
        """Log values of any steps, 1,000 in one call to MLflow."""
        metric = quiet_mlflow().entities.Metric
        values = [metric(p.name, float(p.value), int(p.at_s * 1000), p.step) for p in points]
        with reporting(self.uri, f"log metrics of run {run_id}"):
            for start in range(0, len(values), _METRICS_PER_BATCH):
                self._client.log_batch(run_id, metrics=values[start : start + _METRICS_PER_BATCH])

    def set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Set tags of a run."""
        tag = quiet_mlflow().entities.RunTag
        with reporting(self.uri, f"tag run {run_id}"):
            self._client.log_batch(run_id, tags=[tag(key, value) for key, value in _shortened(tags).items()])

    def log_text(self, run_id: str, text: str, path: str) -> None:
        """Keep `text` as the artifact `path` of a run."""
        with reporting(self.uri, f"log {path} of run {run_id}"):
            self._client.log_text(run_id, text, path)

    def log_files(self, run_id: str, folder: Path, path: str) -> None:
        """Keep the files in `folder` as artifacts of a run, below `path`; "" is the top."""
        with reporting(self.uri, f"log {path or folder.name} of run {run_id}"):
            self._client.log_artifacts(run_id, str(folder), path or None)

    def end_run(
        self,
        run_id: str,
        status: RunStatus,
        metrics: Mapping[str, float] | None = None,
        at_s: float | None = None,
    ) -> None:
        """End a run, with its last metrics; it ended at Unix time `at_s`, now by default."""
        if metrics:
            self.log_metrics(run_id, metrics, step=0)
        with reporting(self.uri, f"end run {run_id}"):
            self._client.set_terminated(run_id, status, None if at_s is None else int(at_s * 1000))

    def log_and_register(
        self,
        run_id: str,
        bundle: Path,
        *,
        name: str,
        inputs: Sequence[ModelInput],
        tags: Mapping[str, str],
        requirements: Sequence[str] = (),
        classes: Sequence[str] = (),
    ) -> int:
        """Log the bundle in folder `bundle` as a model of a run and register it as the next version of `name`.

        `classes` are those of a multiclass model, whose answer has a column for each.

        The model loads with `mlflow.pyfunc.load_model("models:/<name>/<version>")`.
        """
        with reporting(self.uri, f"register model {name}"):
            run = self._client.get_run(run_id)
            model = self._client.create_logged_model(
                run.info.experiment_id, name=name, source_run_id=run_id, tags=_shortened(tags)
            )
            with tempfile.TemporaryDirectory(prefix="mlops-ray-") as folder:
                identity = {"model_id": model.model_id, "run_id": run_id, "artifact_path": model.artifact_location}
                write_model_folder(
                    Path(folder), bundle, inputs=inputs, requirements=requirements, identity=identity, classes=classes
                )
                self._client.log_model_artifacts(model.model_id, folder)
            self._client.finalize_logged_model(model.model_id, "READY")
            self._client.log_outputs(run_id, [quiet_mlflow().entities.LoggedModelOutput(model.model_id, step=0)])
            return self._register(name, model, run_id, _shortened(tags))

    def registered(self, name: str, run_id: str) -> int | None:
        """The version of `name` that was registered from a run already."""
        with reporting(self.uri, f"look for model {name}"):
            found = self._client.search_model_versions(f"name = '{name}' and run_id = '{run_id}'")
        return min((int(version.version) for version in found), default=None)

    def set_alias(self, name: str, alias: str, version: int) -> None:
        """Point `alias` at a registered version."""
        with reporting(self.uri, f"set alias {alias} of model {name}"):
            self._client.set_registered_model_alias(name, alias, str(version))

    def describe(self, name: str, version: int) -> dict[str, Any]:
        """`run_id`, `source`, `tags` and `aliases` of a registered version."""
        with reporting(self.uri, f"read version {version} of model {name}"):
            found = self._client.get_model_version(name, str(version))
        return {
            "run_id": found.run_id,
            "source": found.source,
            "tags": dict(found.tags),
            "aliases": tuple(found.aliases),
        }

    def _experiment(self, model: str) -> str:
        found = self._client.get_experiment_by_name(model)
        if found is None:
            try:
                return str(self._client.create_experiment(model, artifact_location=f"{self._artifacts}/{model}"))
            except quiet_mlflow().exceptions.MlflowException as error:
                # another sweep of the same model made it at this moment
                found = self._client.get_experiment_by_name(model)
                if found is None:
                    raise error from None
        if found.lifecycle_stage != "active":
            raise TrackingError(f"MLflow at {self.uri}: experiment {model} was deleted; restore it or purge it")
        return str(found.experiment_id)

    def _register(self, name: str, model: Any, run_id: str, tags: dict[str, str]) -> int:
        exceptions = quiet_mlflow().exceptions
        try:
            self._client.create_registered_model(name)
        except exceptions.MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        # the plain location and not models:/<id>, for which MLflow asks its process-wide URI instead of this one
        version = self._client.create_model_version(
            name, source=model.artifact_location, run_id=run_id, model_id=model.model_id, tags=tags
        )
        return int(version.version)

    def _log_params(self, run_id: str, params: Mapping[str, object]) -> None:
        param = quiet_mlflow().entities.Param
        values = [param(key, str(value)[:_VALUE_CHARACTERS]) for key, value in params.items()]
        for start in range(0, len(values), _PARAMS_PER_BATCH):
            self._client.log_batch(run_id, params=values[start : start + _PARAMS_PER_BATCH])

    def _log_dataset(self, run_id: str, dataset: DatasetInput) -> None:
        entities = quiet_mlflow().entities
        schema = {"mlflow_colspec": [{"name": name, "type": kind} for name, kind in dataset.schema.items()]}
        value = entities.Dataset(
            name=dataset.name,
            digest=dataset.digest[:_DIGEST_CHARACTERS],
            source_type="mlops_ray",
            source=json.dumps({"uri": dataset.source_uri, "digest": dataset.digest}),
            schema=json.dumps(schema),
        )
        context = entities.InputTag(key="mlflow.data.context", value="training")
        self._client.log_inputs(run_id, [entities.DatasetInput(dataset=value, tags=[context])])


def _shortened(tags: Mapping[str, str]) -> dict[str, str]:
    return {key: str(value)[:_VALUE_CHARACTERS] for key, value in tags.items()}
