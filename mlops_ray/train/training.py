"""From one dataset version to one gated model version: the whole training, in the order it happens."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import ray

from mlops_ray.data import DatasetTable, DatasetVersion, load_version
from mlops_ray.errors import ClusterError, InterruptedSweepError, TrackingError, TrainError
from mlops_ray.lake import Lake
from mlops_ray.spec import ModelSpec, Workspace
from mlops_ray.store import ModelVersionRecord, Store
from mlops_ray.tracking import CodeVersion, DatasetInput, Outbox, RunStatus, Sender, Tracking, patiently
from mlops_ray.train.champion import load_champion
from mlops_ray.train.golden import load_golden
from mlops_ray.train.registration import register_winner
from mlops_ray.train.search import param_space, trial_count
from mlops_ray.train.sweep import run_sweep, warm_up_workers
from mlops_ray.train.sweep_log import SweepLog
from mlops_ray.train.sweep_state import SweepState, find_sweep, save_sweep, spec_digest, sweep_folder, sweep_lock
from mlops_ray.train.trainers import check_params, find_trainer
from mlops_ray.train.training_data import TrainingData, add_golden, prepare
from mlops_ray.train.training_order import TrainingOrder

__all__ = ["run_training"]

_LAST_WORDS_S = 5.0  # for MLflow to be told that a training ended before it was done


def run_training(
    spec: ModelSpec,
    workspace: Workspace,
    *,
    dataset: str = "latest",
    resume: bool = False,
    sweep: str | None = None,
    actor: str,
    clock: Callable[[], float],
    code: CodeVersion,
    progress: Callable[[str], None],
) -> ModelVersionRecord:
    """Train `spec` on one dataset version and register the best trial as a model version with its gates' verdict.

    Until its last step nothing is in the store; a version that its gates refuse is kept all the same, with that
    verdict, and delivery refuses it later. Once the sweep has begun, MLflow may be away for `tracking_patience_s`.

    Args:
        dataset: `latest`, `v3`, a tag, a branch, a time or another reference `DatasetTable.resolve` knows.
        resume: go on with a sweep that was ended before it was done, on its own dataset version.
        sweep: which one; the newest unfinished sweep of the model by default.
        actor: who asks, for the audit chain.
        clock: Unix time in seconds.
        progress: gets a sentence now and then.

    Raises:
        ClusterError: Ray is not initialised.
        TrackingError: MLflow does not answer, or was away for too long; only in the first case nothing was started.
        UnknownVersionError, SchemaError, ValidationError: the data cannot be trained on; nothing was started.
        TrainError: the trainer is not there, no trial came to its end, or the sweep to resume was another one.
        InterruptedSweepError: the sweep was ended by a signal, and can be resumed.
        NotFoundError, ConflictError: there is no sweep to resume, or it is running.
        GateError: a gate compares with a champion that cannot be compared with.
    """
    if not ray.is_initialized():
        raise ClusterError("a training needs Ray: call ray.init() first, or run it as a Ray job")
    tracking = _checked(spec, workspace, clock)
    store = Store(workspace.store)
    store.create()
    if resume or sweep is not None:
        state, version = _sweep_to_resume(spec, workspace, sweep, dataset)
    else:
        version = DatasetTable.of(spec, workspace).resolve(dataset)
        state = _new_sweep(spec, version, code=code, actor=actor, now_s=clock())
    champion = load_champion(store.champion(spec.name), spec, version, progress=progress)
    told = (state, actor, clock, progress)
    order = TrainingOrder(spec, workspace, store, tracking, version, code, champion, *told)
    with sweep_lock(workspace, state.sweep):
        return _train(order)


def _checked(spec: ModelSpec, workspace: Workspace, clock: Callable[[], float]) -> Tracking:
    """Whatever can be found wrong before anything is started; the MLflow that answered."""
    find_trainer(spec.train.trainer)
    warm_up_workers(spec.train)
    check_params(spec.train.trainer, spec.train.space)
    param_space(spec.train.space)
    tracking = Tracking(workspace.tracking, artifacts=f"{workspace.lake.rstrip('/')}/mlflow", clock=clock)
    tracking.check()
    return tracking


def _sweep_to_resume(
    spec: ModelSpec, workspace: Workspace, sweep: str | None, dataset: str
) -> tuple[SweepState, DatasetVersion]:
    state = find_sweep(Lake(workspace.lake), spec.name, sweep)
    version = DatasetTable.of(spec, workspace).resolve(state.dataset if dataset == "latest" else dataset)
    state.check(spec, version)
    return state, version


def _new_sweep(spec: ModelSpec, version: DatasetVersion, *, code: CodeVersion, actor: str, now_s: float) -> SweepState:
    return SweepState(
        sweep=f"{spec.name}-{uuid.uuid4().hex[:10]}",
        model=spec.name,
        dataset=version.ref,
        snapshot_id=version.snapshot_id,
        dataset_digest=version.digest,
        spec_digest=spec_digest(spec),
        seed=spec.train.seed,
        code_sha=code.sha,
        actor=actor,
        created_s=now_s,
    )


def _train(order: TrainingOrder) -> ModelVersionRecord:
    data = _read(order)
    lake = Lake(order.workspace.lake)
    save_sweep(lake, order.state)
    try:
        record = _sweep_and_register(order, data)
    except InterruptedSweepError:
        raise
    except TrainError:
        save_sweep(lake, order.state.ended("failed"))
        raise
    save_sweep(lake, order.state.ended("registered", record.version))
    return record


def _read(order: TrainingOrder) -> TrainingData:
    spec, version = order.spec, order.dataset
    champion_inputs = order.champion.bundle.signature.names if order.champion else ()
    wanted = dict.fromkeys((*spec.data.columns, *champion_inputs))
    table = load_version(order.workspace, version, columns=[c for c in wanted if c in version.schema])
    data = prepare(spec, table)
    golden = load_golden(spec, order.workspace)
    if golden is not None:
        data = add_golden(spec, data, golden)
        order.progress(f"golden set: {golden.num_rows:,} rows")
    left_out = f", {data.unlabelled:,} left out without a label" if data.unlabelled else ""
    order.progress(
        f"{version.ref}: {len(data.train.y):,} rows to train, {len(data.valid.y):,} to compare trials, "
        f"{len(data.holdout.y):,} held out{left_out}"
    )
    if data.holdout_overlap:
        order.progress(f"warning: {data.holdout_overlap:.2%} of the holdout has features of a training row")
    return data


def _sweep_and_register(order: TrainingOrder, data: TrainingData) -> ModelVersionRecord:
    """The trials as far as they are not done, then the rest; MLflow hears of it when it can."""
    outbox = Outbox(sweep_folder(order.workspace, order.state.sweep))
    train = order.spec.train
    log = SweepLog(outbox, metric=train.metric, planned=trial_count(train), progress=order.progress, clock=order.clock)
    with _parent_run(order) as run_id, Sender(order.tracking, run_id, outbox, tell=order.progress) as sender:
        try:
            result = run_sweep(order.spec, order.workspace, data, sweep=order.state.sweep, log=log)
        except BaseException:
            log.halt()
            sender.drain(_LAST_WORDS_S)
            raise
        patience_s = order.workspace.tracking_patience_s
        if not sender.drain(patience_s):
            raise TrackingError(
                f"MLflow at {order.workspace.tracking} was away for {patience_s:g} s and lacks part of the sweep, "
                f"which is in {outbox.file}; `mlops-ray train SPEC --resume` sends it and registers the model"
            )
        patiently(order.tracking, patience_s, lambda: order.tracking.drop_doubles(run_id, outbox.runs))
        return register_winner(order, data, result, run_id)


@contextmanager
def _parent_run(order: TrainingOrder) -> Iterator[str]:
    """The parent run in MLflow; it ends with what becomes of the block."""
    version, train = order.dataset, order.spec.train
    run_id = order.tracking.start_sweep(
        order.spec.name,
        sweep=order.state.sweep,
        name=f"{order.spec.name} on {version.ref}",
        tags=order.lineage,
        params={
            "trainer": train.trainer,
            "trials": train.trials,
            "search": train.search,
            "scheduler": train.scheduler,
            "max_iterations": train.max_iterations,
            "metric": train.metric,
            "seed": train.seed,
        },
        dataset=DatasetInput(
            name=version.ref,
            digest=version.digest,
            source_uri=f"{order.workspace.lake}#{version.table}?snapshot_id={version.snapshot_id}",
            schema=version.schema,
        ),
    )
    status: RunStatus = "KILLED"
    try:
        yield run_id
    except BaseException as error:
        status = "FAILED" if isinstance(error, Exception) and not isinstance(error, InterruptedSweepError) else status
        # what went wrong is worth more than that MLflow cannot be told
        with suppress(TrackingError):
            order.tracking.end_run(run_id, status)
        raise
    patience_s = order.workspace.tracking_patience_s
    patiently(order.tracking, patience_s, lambda: order.tracking.end_run(run_id, "FINISHED"))
