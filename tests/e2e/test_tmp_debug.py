import time, threading, shutil, glob, os
from hashlib import blake2b
from tests.e2e.toy import *
from tests.e2e.test_faults import toy, _champion_pids, kill  # noqa
from mlops_ray.rollout import Phase

def test_debug(toy):
  for k in range(4):
    t0=time.time(); stop=threading.Event()
    def watch(d):
        seen=0
        while not stop.is_set():
            c=d.snapshot()
            if c.failed!=seen: print("  FAILED at", round(time.time()-t0,2), time.strftime("%H:%M:%S"), c.failed, c.first_error); seen=c.failed
            time.sleep(.02)
    with toy.traffic() as driver:
        threading.Thread(target=watch,args=(driver,),daemon=True).start()
        rollout = toy.deploy(toy.add_version())
        toy.await_phase(rollout, Phase.CANARY); 
        print("canary at", time.time()-t0)
        until(lambda: driver.snapshot().by_role.get("canary"), "x", timeout_s=30)
        pids=_champion_pids(toy); kill(pids[0]); print("killed", pids, time.time()-t0, time.strftime("%H:%M:%S"))
        e=toy.ended(rollout); print("ended", time.time()-t0, e.phase, e.state["rollout"]["reason"])
        until(lambda: len(_champion_pids(toy))==2, "two", timeout_s=40); print("two", time.time()-t0)
        time.sleep(3)
        print(driver.stop()); stop.set()
  import ray; src=ray._private.worker._global_node.get_session_dir_path()+"/logs"
  shutil.rmtree("/tmp/clit/logs", ignore_errors=True); shutil.copytree(src,"/tmp/clit/logs", symlinks=False, ignore_dangling_symlinks=True)
