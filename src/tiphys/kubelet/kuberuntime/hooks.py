"""Lifecycle hooks: what a container asked to be done right after its start and before its stop.

Source: "Container Lifecycle Hooks".
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from tiphys.apimachinery.errors import TiphysError
from tiphys.kubelet.probes.run import Target, http_get
from tiphys.kubelet.runtime import RuntimeFailure

_EXEC_S = 3600
_HTTP_S = 30.0


class HookFailure(TiphysError):
    """The hook ran and failed."""


async def run_hook(handler: Mapping[str, Any], target: Target) -> None:
    """Run a postStart or preStop handler to its end. Raises HookFailure."""
    if command := handler.get("exec"):
        words = command.get("command") or ()
        try:
            result = await target.runtime.exec_sync(target.container_id, words, _EXEC_S)
        except RuntimeFailure as error:
            raise HookFailure(str(error)) from error
        if result.exit_code:
            text = result.output.decode(errors="replace")
            raise HookFailure(f"command '{' '.join(words)}' exited with {result.exit_code}: {text}")
    elif request := handler.get("httpGet"):
        answer = await http_get({**request, "port": request.get("port") or 80}, target, _HTTP_S)
        if not answer.ok:
            raise HookFailure(answer.text)
    elif pause := handler.get("sleep"):
        await asyncio.sleep(float(pause.get("seconds") or 0))
