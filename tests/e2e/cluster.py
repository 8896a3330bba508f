"""A running cluster as its people meet it: ``tiphys`` and ``kubectl`` on the command line, nothing else."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
TIPHYS = str(ROOT / "tiphys")
_POLL_S = 0.1


def eventually(check: Callable[[], Any], deadline_s: float = 60) -> Any:
    """Return the first true answer of ``check``; one that raises AssertionError is asked again too."""
    end = time.monotonic() + deadline_s
    last: object = "nothing"
    while time.monotonic() < end:
        try:
            last = check()
        except AssertionError as error:
            last = error
        else:
            if last:
                return last
        time.sleep(_POLL_S)
    raise AssertionError(f"not within {deadline_s} s; last seen: {last}")


@dataclass
class Result:
    """What a command said."""

    code: int
    out: str
    err: str

    @property
    def all(self) -> str:
        return self.out + self.err


@dataclass
class RunningCluster:
    """One cluster and one kubectl; ``namespace`` goes with every command that names none."""

    home: Path
    name: str = "default"
    binary: str = field(default_factory=lambda: shutil.which("kubectl") or "kubectl")
    namespace: str = "default"

    @property
    def env(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("KUBE", "TIPHYS"))}
        return {
            **kept,
            "TIPHYS_HOME": str(self.home),
            "TIPHYS_OUTBOUND": "off",
            "KUBECONFIG": str(self.folder / "kubeconfig"),
            "HOME": str(self.home),
            "TERM": "xterm",
        }

    @property
    def folder(self) -> Path:
        return self.home / self.name

    @property
    def index(self) -> int:
        return int(json.loads((self.folder / "cluster.json").read_text())["index"])

    @property
    def host_ip(self) -> str:
        """The machine's address as the nodes see it."""
        return f"172.29.{self.index}.1"

    def tiphys(self, *args: str, check: bool = True, env: dict[str, str] | None = None) -> Result:
        result = _run([TIPHYS, *args], env={**self.env, **(env or {})}, timeout_s=180)
        assert not check or result.code == 0, f"tiphys {' '.join(args)}: {result.all}"
        return result

    def pids(self) -> dict[str, int]:
        """Return the components' processes, the supervisor's too."""
        record = json.loads((self.folder / "processes.json").read_text())
        return {"supervisor": record["pid"], **{k: v["pid"] for k, v in record["components"].items()}}

    def kill(self, component: str) -> int:
        """End a component the hard way; return the process id it had."""
        pid = self.pids()[component]
        os.kill(pid, signal.SIGKILL)
        return pid

    def argv(self, *args: str) -> list[str]:
        return [self.binary, "-n", self.namespace, *args]

    def try_kubectl(
        self, *args: str, stdin: str = "", timeout_s: float = 90, env: dict[str, str] | None = None
    ) -> Result:
        return _run(self.argv(*args), env={**self.env, **(env or {})}, stdin=stdin, timeout_s=timeout_s)

    def kubectl(self, *args: str, stdin: str = "", timeout_s: float = 90) -> str:
        result = self.try_kubectl(*args, stdin=stdin, timeout_s=timeout_s)
        assert result.code == 0, f"kubectl {' '.join(args)}: {result.all}"
        return result.out

    def json(self, *args: str) -> Any:
        return json.loads(self.kubectl(*args, "-o", "json"))

    def path(self, what: str, path: str) -> str:
        """Return a jsonpath of an object, like ``("pod/a", ".status.phase")``."""
        return self.kubectl("get", what, "-o", f"jsonpath={{{path}}}")

    def apply(self, *objects: dict[str, Any]) -> str:
        listing = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        return self.kubectl("apply", "-f", "-", stdin=json.dumps(listing))

    def wait(self, what: str, condition: str, timeout_s: int = 60, *more: str) -> str:
        waiting = ("wait", what, f"--for={condition}", f"--timeout={timeout_s}s", *more)
        return self.kubectl(*waiting, timeout_s=timeout_s + 30)

    def ready(self, *pods: str) -> None:
        self.kubectl("wait", "--for=condition=Ready", "--timeout=60s", *(f"pod/{pod}" for pod in pods))

    def sh(self, pod: str, script: str, *more: str) -> str:
        return self.kubectl("exec", pod, *more, "--", "sh", "-c", script)

    @contextlib.contextmanager
    def background(self, *args: str) -> Iterator[Background]:
        """Run kubectl beside the test; it is ended with the block."""
        running = Background(self.argv(*args), self.env)
        try:
            yield running
        finally:
            running.end()

    @contextlib.contextmanager
    def terminal(self, *args: str) -> Iterator[Terminal]:
        """Run kubectl on a terminal of its own."""
        terminal = Terminal(self.argv(*args), self.env)
        try:
            yield terminal
        finally:
            terminal.end()


class Background:
    """A command that goes on, and what it has printed so far."""

    def __init__(self, argv: list[str], env: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            argv, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        assert self.process.stdout is not None
        self._fd = self.process.stdout.fileno()
        self.text = ""

    def until(self, wanted: str, deadline_s: float = 60) -> str:
        """Read until the text appears; return all that was printed."""
        self.text = _read_until(self._fd, self.text, wanted, deadline_s)
        return self.text

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


class Terminal:
    """A command on a pseudo terminal."""

    def __init__(self, argv: list[str], env: dict[str, str]) -> None:
        self._fd, inner = pty.openpty()
        self.process = subprocess.Popen(
            argv, env=env, stdin=inner, stdout=inner, stderr=inner, start_new_session=True
        )
        os.close(inner)
        self.text = ""

    def type(self, line: str) -> None:
        os.write(self._fd, line.encode())

    def until(self, wanted: str, deadline_s: float = 60) -> str:
        self.text = _read_until(self._fd, self.text, wanted, deadline_s)
        return self.text

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._fd)


def _run(argv: list[str], *, env: dict[str, str], timeout_s: float, stdin: str = "") -> Result:
    done = subprocess.run(
        argv, env=env, input=stdin, capture_output=True, text=True, timeout=timeout_s, check=False
    )
    return Result(done.returncode, done.stdout, done.stderr)


def _read_until(fd: int, text: str, wanted: str, deadline_s: float) -> str:
    end = time.monotonic() + deadline_s
    while wanted not in text:
        left = end - time.monotonic()
        assert left > 0, f"no {wanted!r} within {deadline_s} s in: {text}"
        if not select.select([fd], [], [], left)[0]:
            continue
        try:
            chunk = os.read(fd, 65536)
        except OSError:  # a terminal whose program has ended
            chunk = b""
        assert chunk, f"ended without {wanted!r}: {text}"
        text += chunk.decode(errors="replace")
    return text
