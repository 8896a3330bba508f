"""Carrying out a plan's stops: preStop hooks, what is left of the grace period, sandboxes at the end.

Owns the order of calls and the events people see. Whom to stop, when, and with how much grace is
``lifecycle.plan``'s to say.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from tiphys.apimachinery.meta import Object
from tiphys.kubelet.context import NodeContext
from tiphys.kubelet.kuberuntime.hooks import HookFailure, run_hook
from tiphys.kubelet.lifecycle import Kill
from tiphys.kubelet.pod_start import find_container, hook_target
from tiphys.kubelet.runtime import RuntimeFailure

log = logging.getLogger(__name__)

MIN_KILL_S: Final = 2.0
"""What a container has at the least to end by itself, however little grace is left."""


async def kill_container(node: NodeContext, pod: Object, kill: Kill) -> None:
    """Run preStop, then stop within what is left of the grace period.

    Raises:
        RuntimeFailure: it was not stopped; one that is gone already was.
    """
    container, path = find_container(pod, kill.name)
    node.recorder.record(pod, "Normal", "Killing", kill.message, field_path=path)
    left = kill.grace_s
    handler = (container.get("lifecycle") or {}).get("preStop")
    if handler and left > 0 and kill.hook:
        began = node.clock.monotonic()
        runtime = node.cache.get(pod["metadata"]["uid"])
        target = hook_target(node, pod, container, kill.container_id, runtime)
        try:
            async with asyncio.timeout(left):
                await run_hook(handler, target)
        except TimeoutError:
            pass  # the grace period covers hook and stop alike
        except HookFailure as failure:
            # What it was and said is no event's: there may be secrets in it.
            log.warning(
                "hook failed pod=%s container=%s error=%s", pod["metadata"]["name"], kill.name, failure
            )
            node.recorder.record(pod, "Warning", "FailedPreStopHook", "PreStopHook failed", field_path=path)
        left -= node.clock.monotonic() - began
    try:
        grace = int(max(left, MIN_KILL_S)) if kill.hook else 0
        await node.runtime.stop_container(kill.container_id, grace)
    except RuntimeFailure as error:
        if error.code != "NOT_FOUND":
            raise


async def remove_sandboxes(node: NodeContext, uid: str) -> None:
    """Remove the sandboxes of a pod in which nothing runs any more; what fails stays for the housekeeping."""
    for sandbox in node.cache.get(uid).sandboxes:
        try:
            await node.runtime.remove_sandbox(sandbox.id)
        except RuntimeFailure as error:
            log.warning("sandbox stays for now id=%s error=%s", sandbox.id[:12], error)
