"""A real etcd of one's own for tests: found on PATH, on free loopback ports, data where the test says."""

from __future__ import annotations

import asyncio
import shutil
import signal
import socket
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from tiphys.apimachinery.clock import Clock
from tiphys.storage.etcd import EtcdStore


def free_ports(count: int) -> list[int]:
    """Find ports of loopback that nobody uses now."""
    with ExitStack() as stack:
        found = []
        for _ in range(count):
            listener = stack.enter_context(socket.socket())
            listener.bind(("127.0.0.1", 0))
            found.append(listener.getsockname()[1])
        return found


_START_S: Final = 60.0
_TRIES: Final = 3
_READY: Final = b"ready to serve client requests"


class EtcdProcess:
    """One member. ``start`` waits until it listens, where it is alone: several wait for each other.

    Raises:
        RuntimeError: there is no etcd on PATH, or it ends by itself.
    """

    def __init__(
        self, folder: Path, name: str = "m0", scheme: str = "http", flags: Sequence[str] = ()
    ) -> None:
        binary = shutil.which("etcd")
        if binary is None:
            raise RuntimeError("these tests need etcd on PATH (Debian: etcd-server); or run -m 'not etcd'")
        self._binary = binary
        self._folder = folder
        self._flags = tuple(flags)
        self._log = folder / f"{name}.log"
        self._logged = 0
        self._scheme = scheme
        self.name = name
        self._choose_ports()
        self.process: asyncio.subprocess.Process | None = None

    def _choose_ports(self) -> None:
        client, peer = free_ports(2)
        self.url = f"{self._scheme}://127.0.0.1:{client}"
        self.peer_url = f"http://127.0.0.1:{peer}"

    async def start(self, cluster: Sequence[EtcdProcess] = ()) -> None:
        """Run it as a member of ``cluster`` (itself alone by default)."""
        if cluster:
            await self._run(cluster)
            return
        tries = 1 if (self._folder / self.name).exists() else _TRIES  # a known one keeps its ports
        for _ in range(tries):
            await self._run(())
            if await self._serves():
                return
            self._choose_ports()  # somebody else took one of them meanwhile
        raise RuntimeError(f"etcd ends by itself; see {self._log}")

    async def _serves(self) -> bool:
        """Wait until it says so (whoever answers at its port may be another); False: it has ended."""
        assert self.process is not None
        async with asyncio.timeout(_START_S):
            while self.process.returncode is None:
                if _READY in self._log.read_bytes()[self._logged :]:
                    return True
                await asyncio.sleep(0.02)
        return False

    async def _run(self, cluster: Sequence[EtcdProcess]) -> None:
        members = ",".join(f"{member.name}={member.peer_url}" for member in cluster or [self])
        self._folder.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as log:
            self._logged = log.tell()
            self.process = await asyncio.create_subprocess_exec(
                self._binary,
                f"--name={self.name}",
                f"--data-dir={self._folder / self.name}",
                f"--listen-client-urls={self.url}",
                f"--advertise-client-urls={self.url}",
                f"--listen-peer-urls={self.peer_url}",
                f"--initial-advertise-peer-urls={self.peer_url}",
                f"--initial-cluster={members}",
                "--unsafe-no-fsync",  # a member that is killed loses nothing by it
                "--heartbeat-interval=20",
                "--election-timeout=200",
                *self._flags,
                stdout=log,
                stderr=log,
            )

    async def end(self, how: signal.Signals = signal.SIGKILL) -> None:
        """End it and wait for that. Idempotent."""
        if self.process is not None:
            if self.process.returncode is None:
                self.process.send_signal(how)
            await self.process.wait()
            self.process = None


class ClockedEtcdStore(EtcdStore):
    """An ``EtcdStore`` whose leases run out by the test's clock: revoked then, as etcd does by its own."""

    def __init__(self, url: str, clock: Clock) -> None:
        super().__init__([url])
        self._clock = clock
        self._ends: dict[int, float] = {}

    async def grant_lease(self, ttl_s: int) -> int:
        """Return a lease that ``expire_leases`` ends when the clock says so."""
        lease = await super().grant_lease(ttl_s + 3600)
        self._ends[lease] = self._clock.monotonic() + ttl_s
        return lease

    async def expire_leases(self) -> None:
        """End every lease whose time is over."""
        for lease, end in list(self._ends.items()):
            if end <= self._clock.monotonic():
                del self._ends[lease]
                await self.revoke_lease(lease)
                await self.confirm()
