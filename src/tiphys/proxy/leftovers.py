"""What another kube-proxy has left in iptables on this node: taken away, as one that translates is enough.

Owns knowing which chains are a kube-proxy's own; those that others use too (``KUBE-MARK-MASQ``, a kubelet's
``KUBE-FIREWALL``) stay, as does everything else. Called once, before the first rules are written.
Source: upstream's proxy, which does the same where its mode has changed from iptables to nftables.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from typing import Final

from tiphys.proxy.nft import NftError, run_tool

log = logging.getLogger(__name__)

_TOOLS: Final = ("iptables", "ip6tables")
_OWN: Final = re.compile(
    r"KUBE-(SERVICES|EXTERNAL-SERVICES|NODEPORTS|POSTROUTING|FORWARD|PROXY-FIREWALL|PROXY-CANARY"
    r"|(SVC|SVL|EXT|SEP|FW|XLB)-[A-Z0-9]+)"
)
_JUMP: Final = re.compile(r" -[jg] (\S+)")


def removal(saved: str) -> list[str]:
    """Return what ``iptables-restore --noflush`` is to do so that nothing of a kube-proxy is left. Pure."""
    script: list[str] = []
    for table in re.split(r"(?m)^(?=\*)", saved):
        lines = table.splitlines()
        chains = [line[1:].split()[0] for line in lines if line.startswith(":")]
        own = [name for name in chains if _OWN.fullmatch(name)]
        if not own:
            continue
        jumps = [line for line in lines if line.startswith("-A ") and _leads_in(line, own)]
        script += [lines[0], *(f":{name} - [0:0]" for name in own)]  # naming a chain empties it
        script += [f"-D {line.removeprefix('-A ')}" for line in jumps]
        script += [*(f"-X {name}" for name in own), "COMMIT"]
    return script


def _leads_in(rule: str, own: Sequence[str]) -> bool:
    """Whether a rule of somebody's chain goes to one of a kube-proxy's."""
    jump = _JUMP.search(rule)
    return jump is not None and jump.group(1) in own and rule.split()[1] not in own


async def remove_leftovers() -> None:
    """Take away what an iptables kube-proxy left; where there are no such tools there is nothing."""
    for tool in _TOOLS:
        try:
            code, saved, _ = await run_tool((f"{tool}-save",))
            script = removal(saved) if not code else []
            if not script:
                continue
            code, _, said = await run_tool((f"{tool}-restore", "--noflush"), "\n".join(script) + "\n")
        except NftError as error:
            log.debug("no leftovers looked for tool=%s error=%s", tool, error)
            continue
        if code:
            log.warning("rules of another kube-proxy stay tool=%s error=%s", tool, said.strip()[:500])
        else:
            log.info("rules of another kube-proxy removed tool=%s", tool)
