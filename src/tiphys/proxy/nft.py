"""The shell around ``nft`` and ``conntrack``: applies a transaction, forgets flows to endpoints gone.

Raises ``NftError`` with what nft said; retries are the caller's. Called by ``proxy`` only.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from tiphys.apimachinery.errors import TiphysError
from tiphys.proxy.policies import TABLE_NAME as POLICY_TABLE
from tiphys.proxy.rules import TABLE_NAME
from tiphys.proxy.ruleset import Table

log = logging.getLogger(__name__)

_TIMEOUT_S = 30.0
_IF_INET6 = Path("/proc/net/if_inet6")
_DELETED = re.compile(r"(\d+) flow entries have been deleted")


def families() -> tuple[str, ...]:
    """Return the address families that this machine's kernel has."""
    return ("IPv4", "IPv6") if _IF_INET6.exists() else ("IPv4",)


class NftError(TiphysError):
    """nft refused a transaction or could not be run."""


async def run_tool(argv: Sequence[str], stdin: str = "") -> tuple[int, str, str]:
    """Run a program; return its exit code and what it said. Raises NftError."""
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    except FileNotFoundError as error:
        raise NftError(f"{argv[0]} is not installed") from error
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            out, err = await process.communicate(stdin.encode())
    except TimeoutError as error:
        process.kill()
        await process.wait()
        raise NftError(f"{argv[0]} did not finish within {_TIMEOUT_S:.0f} s") from error
    return process.returncode or 0, out.decode(errors="replace"), err.decode(errors="replace")


async def apply(commands: Iterable[str]) -> None:
    """Apply commands as one transaction: all of them or, with NftError, none."""
    script = "\n".join(commands)
    if not script:
        return
    code, _, err = await run_tool(("nft", "-f", "-"), script + "\n")
    if code:
        raise NftError(f"nft: {err.strip()[:2000]}")


async def remove() -> None:
    """Delete the proxy's tables of both families, if there are any; also that of policies."""
    for family in ("ip", "ip6"):
        for name in (TABLE_NAME, POLICY_TABLE):
            await apply([f"add table {family} {name}", f"delete table {family} {name}"])


async def chain_names(table: Table) -> set[str] | None:
    """Return the names of the chains that the kernel's table has; None when there is no such table."""
    code, out, _ = await run_tool(("nft", "list", "chains", table.family))
    if code:
        return None
    names: set[str] = set()
    current, found = "", False
    for line in out.splitlines():
        words = line.split()
        if words[:1] == ["table"]:
            current = words[2] if len(words) > 2 else ""
            found = found or current == table.name
        elif words[:1] == ["chain"] and current == table.name:
            names.add(words[1])
    return names if found else None


async def forget_flows(targets: Iterable[tuple[str, str, int]]) -> int:
    """Delete UDP flows that are translated to endpoints: (original address or empty, endpoint address, port).

    Returns how many there were.

    A flow to a service that had no endpoint has no translation; for those the endpoint is empty. Nothing to
    delete is success.
    """
    forgotten = 0
    for original, endpoint, port in targets:
        family = "ipv6" if ":" in original or ":" in endpoint else "ipv4"
        argv = ["conntrack", "-D", "-f", family, "-p", "udp"]
        if original:
            argv += ["--orig-dst", original]
        if endpoint:
            argv += ["--dst-nat", endpoint]
        if port:
            argv += ["--orig-port-dst", str(port)]
        try:
            _, _, said = await run_tool(argv)
        except NftError as error:  # the rules stand all the same; flows end by themselves in a while
            log.warning("flows not forgotten error=%s", error)
            return forgotten
        forgotten += deleted_flows(said)
    return forgotten


def deleted_flows(said: str) -> int:
    """Return how many flows conntrack says it has deleted. Pure."""
    found = _DELETED.search(said)
    return int(found.group(1)) if found is not None else 0
