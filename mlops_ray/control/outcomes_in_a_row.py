"""How many of the newest retrainings came to nothing. Pure."""

from collections.abc import Sequence

from mlops_ray.store import ModelVersionRecord, Stage, TriggerRecord
from mlops_ray.verdict import Verdict

__all__ = ["VERSION", "rejected_in_a_row"]

VERSION = "version"
"""Key in a trigger's evidence: number of the version that its job made."""
_PROMOTED = (Stage.CHAMPION, Stage.RETIRED)
_TURNED_DOWN = (Stage.REJECTED, Stage.ROLLED_BACK)


def rejected_in_a_row(
    triggers: Sequence[TriggerRecord], versions: Sequence[ModelVersionRecord], *, since_s: float
) -> tuple[int, ...]:
    """Versions of the newest retrainings up to the last one that was promoted: refused by their gates, rolled back, or
    turned down by people; newest first.

    Retrainings that ended at or before `since_s` do not count, nor do jobs that failed or made no version, nor versions
    whose delivery is still to be decided.
    """
    stages = {version.version: version for version in versions}
    found: list[int] = []
    for trigger in sorted(triggers, key=lambda t: (t.updated_s, t.id), reverse=True):
        made = stages.get(trigger.evidence.get(VERSION, 0))
        if trigger.state != "succeeded" or trigger.updated_s <= since_s or made is None:
            continue
        if made.stage in _PROMOTED:
            break
        if made.stage in _TURNED_DOWN or made.verdict != Verdict.PASS:
            found.append(made.version)
    return tuple(found)
