"""Runs ``wrk`` (Debian's package) where it is installed: a generator that costs far less than Python's."""

from __future__ import annotations

import asyncio
import re
import shutil
from pathlib import Path
from typing import Any

from bench.load import Target

_UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60000.0}
_CREATE = """
local count = 0
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
local body = [==[%s]==]
function request()
  count = count + 1
  return wrk.format(nil, nil, nil, (body:gsub("@INDEX@", count)))
end
"""


def present() -> bool:
    return shutil.which("wrk") is not None


async def run(
    target: Target,
    path: str,
    *,
    connections: int,
    seconds: int,
    template: str = "",
    folder: Path | None = None,
) -> dict[str, Any]:
    """GET (or, with a ``template`` that has ``@INDEX@``, POST) for so long; return rate and percentiles.

    Raises:
        RuntimeError: wrk failed.
    """
    arguments = [
        "wrk",
        "-t",
        "1",
        "-c",
        str(connections),
        "-d",
        f"{seconds}s",
        "--latency",
        "--timeout",
        "10s",
    ]
    arguments += ["-H", f"Authorization: Bearer {target.token}", "-H", "Accept: application/json"]
    if template:
        assert folder is not None
        script = folder / "create.lua"
        script.write_text(_CREATE % template)
        arguments += ["-s", str(script)]
    child = await asyncio.create_subprocess_exec(
        *arguments, target.url + path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    text = (await child.communicate())[0].decode()
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    if child.returncode or rate is None:
        raise RuntimeError("wrk: " + text[-500:])
    row: dict[str, Any] = {"generator": "wrk", "per_second": float(rate[1])}
    total = re.search(r"(\d+) requests in", text)
    row["requests"] = int(total[1]) if total else 0
    for percent in ("50", "99"):
        found = re.search(rf"{percent}%\s+([\d.]+)(us|ms|s|m)", text)
        if found:
            row[f"p{percent}_ms"] = round(float(found[1]) * _UNITS[found[2]], 2)
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    row["errors"] = int(refused[1]) if refused else 0
    return row
