"""The API server that is measured: one of our own in a process and folder of its own, or the given one.

Everything listens on and connects to loopback, unless BENCH_URL points elsewhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bench import load, objects

_START_S = 30.0


@dataclass(frozen=True)
class Server:
    """Where to send requests, and (for one of our own) its process and folder."""

    target: load.Target
    pid: int = 0
    folder: Path | None = None

    def resident_mb(self) -> float:
        """Return the process's resident memory in MB; 0 for a server elsewhere."""
        if not self.pid:
            return 0.0
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return round(int(line.split()[1]) * 1024 / 1e6, 1)
        return 0.0

    def processor_us(self) -> int:
        """Return the microseconds that the process has computed so far; 0 for a server elsewhere."""
        return processor_us(self.pid) if self.pid else 0

    def kubeconfig(self) -> Path:
        """Write and return a kubeconfig for components of a server of our own."""
        assert self.folder is not None
        path = self.folder / "kubeconfig"
        path.write_text(
            f"apiVersion: v1\nkind: Config\ncurrent-context: bench\n"
            f"clusters: [{{name: bench, cluster: "
            f"{{server: '{self.target.url}', insecure-skip-tls-verify: true}}}}]\n"
            f"users: [{{name: bench, user: {{token: '{self.target.token}'}}}}]\n"
            f"contexts: [{{name: bench, context: {{cluster: bench, user: bench}}}}]\n"
        )
        return path


def processor_us(pid: int) -> int:
    """Return the microseconds, user and system, that a process of ours has computed so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) * 1_000_000 // os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    """Return a loopback port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def process(arguments: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run ``python -m ...`` until the block ends."""
    with log.open("wb") as out:
        child = subprocess.Popen([sys.executable, "-m", *arguments], stdout=out, stderr=out)
    try:
        yield child
    finally:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


@contextlib.asynccontextmanager
async def serving(*, own: bool = False) -> AsyncIterator[Server]:
    """Yield the server under test, with the benchmark's namespace in it.

    ``own``: the row looks at the process, so BENCH_URL does not serve. Raises TimeoutError, RuntimeError.
    """
    given = load.Target.from_environment()
    if given.url and not own:
        await _prepare(given)
        yield Server(given)
        return
    with tempfile.TemporaryDirectory(prefix="tiphys-bench-") as name:
        folder, port, token = Path(name), free_port(), secrets.token_urlsafe(16)
        (folder / "tokens.csv").write_text(f'{token},bench,bench,"system:masters"\n')
        flags = [
            "--store", f"sqlite:{folder / 'store.db'}", "--secure-port", str(port),
            "--bind-address", "127.0.0.1", "--token-auth-file", str(folder / "tokens.csv"),
            "--cert-dir", str(folder),
        ]  # fmt: skip
        target = load.Target(f"https://127.0.0.1:{port}", token)
        with process(["tiphys.cmd.main", "apiserver", *flags], folder / "apiserver.log") as child:
            await _wait_ready(target, child, folder / "apiserver.log")
            await _prepare(target)
            yield Server(target, child.pid, folder)


async def _wait_ready(target: load.Target, child: subprocess.Popen[bytes], log: Path) -> None:
    async with asyncio.timeout(_START_S):
        while True:
            if child.poll() is not None:
                raise RuntimeError(f"the API server ended, see {log}")
            with contextlib.suppress(OSError):
                result = await load.run(target, [target.head("GET", "/readyz")], connections=1)
                if not result.errors:
                    return
            await asyncio.sleep(0.02)


async def _prepare(target: load.Target) -> None:
    namespace = objects.body(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": objects.NAMESPACE}}
    )
    account = objects.body({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}})
    accounts = f"/api/v1/namespaces/{objects.NAMESPACE}/serviceaccounts"
    await load.run(
        target,
        [
            target.head("POST", "/api/v1/namespaces", namespace) + namespace,
            target.head("POST", accounts, account) + account,
        ],
        connections=1,
        good=lambda status: status in (201, 409),
    )


async def create(
    server: Server, path: str, bodies: Iterable[bytes], *, connections: int = 32, seconds: float = 0.0
) -> load.Result:
    """POST every body. Raises RuntimeError when one is refused."""
    target = server.target
    result = await load.run(
        target,
        (target.head("POST", path, data) + data for data in bodies),
        connections=connections,
        seconds=seconds,
    )
    if result.errors:
        raise RuntimeError(f"{result.errors} of {result.requests} creations of {path} were refused")
    return result


def environment(**more: str) -> dict[str, str]:
    """Return this process's environment and more, without outbound traffic."""
    return {**os.environ, "TIPHYS_OUTBOUND": "off", **more}
