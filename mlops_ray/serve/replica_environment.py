"""The runtime environment of replicas: that of the process that deploys them, without what is only for that one."""

from collections.abc import Mapping
from typing import Any

__all__ = ["ROUTER_LOOP", "replica_environment"]

ROUTER_LOOP = "RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP"
"""Set where Serve handles are used without an event loop: in the control actor."""


def replica_environment(deploying: Mapping[str, Any]) -> dict[str, Any]:
    """The `runtime_env` to give to a deployment; Serve would hand on everything.

    A replica that routes its calls on another thread than it answers on pays for it twice, and holds up its event loop.

    >>> replica_environment({"env_vars": {"RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP": "1", "A": "b"}, "pip": ["x"]})
    {'env_vars': {'A': 'b'}, 'pip': ['x']}
    >>> replica_environment({"env_vars": {"RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP": "1"}})
    {}
    """
    variables = {name: value for name, value in deploying.get("env_vars", {}).items() if name != ROUTER_LOOP}
    environment = {**deploying, "env_vars": variables}
    return {key: value for key, value in environment.items() if value}
