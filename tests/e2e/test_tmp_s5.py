from tests.e2e.test_faults import *
from tests.e2e.test_faults import _pid, _deliver, _assert_it_ended_right
import time, json
for name in list(globals()):
    if name.startswith("test_"): del globals()[name]
def test_ratio(toy):
    for i in range(2):
        before=_pid(DRIFT_ACTOR, toy.workspace)
        t=time.time()
        rollout,counts=_deliver(toy,in_canary=lambda: kill(before))
        ev=rollout.state["rollout"]["evidence"]["canary_requests"]
        n=sum(r.get("x",0) for r in [])
        print("RATIO", ev, counts.by_role["canary"], ev/counts.by_role["canary"], rollout.state["rollout"]["reason"], rollout.state["cursor"], "took", time.time()-t)
        for m in rollout.state["rollout"]["history"]: print("  ", m["phase"], m["at_s"]-t)
        _assert_it_ended_right(toy, rollout, counts)
        # what is in the records
        from mlops_ray.records import RecordLog
        from mlops_ray.lake import Lake
        import pyarrow.compute as pc
        time.sleep(3)
        tab=RecordLog(Lake(toy.workspace.lake), toy.name).served(t-5)
        tab=tab.filter((pc.field("canary")==rollout.version)&(pc.field("assigned")=="canary"))
        print("RECORDS assigned canary", tab.num_rows)
        for e in pc.value_counts(tab["epoch"]).to_pylist(): print(e)
