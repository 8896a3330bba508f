"""Making processes: forked Python ones and external ones, in a network namespace, each with a log file.

Called by ``supervisor`` only. Network namespaces are entered with setns, never ``ip netns exec``, which would
hide the cgroup tree.
"""

from __future__ import annotations

import ctypes
import os
import signal
import traceback
from collections.abc import Callable
from pathlib import Path

from tiphys.ctl.components import Component

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36
_CLONE_NEWNET = 0x40000000
_MAX_LOG_BYTES = 20 * 1024 * 1024

_libc = ctypes.CDLL(None, use_errno=True)


def become_subreaper() -> None:
    """Orphaned descendants become our children: none stays a zombie where init does not reap."""
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_with_parent(parent: int) -> None:
    """From now on be killed when the parent ends; ends at once if that has happened."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)


def outlive_parent() -> None:
    """Undo ``end_with_parent``."""
    _libc.prctl(_PR_SET_PDEATHSIG, 0, 0, 0, 0)


def enter_network(namespace: Path) -> None:
    """Move the calling thread into a network namespace. Raises OSError."""
    handle = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _libc.setns(handle, _CLONE_NEWNET):
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error), str(namespace))
    finally:
        os.close(handle)


def detach(log: Path) -> None:
    """Point the standard streams at /dev/null and a log file; leave the working directory."""
    os.chdir("/")
    # The lock of ``up`` among others: held open here it would never be let go.
    os.closerange(3, 1024)
    _redirect(log)


def _redirect(log: Path) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists() and log.stat().st_size > _MAX_LOG_BYTES:
        log.replace(log.with_suffix(".log.1"))
    null = os.open(os.devnull, os.O_RDONLY)
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
    os.dup2(null, 0)
    os.dup2(out, 1)
    os.dup2(out, 2)
    os.close(null)
    os.close(out)


def fork(component: Component, become: Callable[[], int]) -> int:
    """Fork; the child runs ``become`` and exits with its result. Returns the child's process id."""
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        _prepare(component, parent)
        code = become()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        # The supervisor's own exit handlers are not the child's to run.
        os._exit(code & 0xFF)


def fork_apart(become: Callable[[], int]) -> int:
    """Fork a process that outlives this one and has its log; it runs ``become``. Returns its process id."""
    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        _plain_signals()
        os.setsid()
        code = become()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code & 0xFF)


def _plain_signals() -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def spawn(component: Component) -> int:
    """Fork and exec an external command. Returns its process id."""
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        _prepare(component, parent)
        os.execvp(component.argv[0], list(component.argv))
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(127)


def _prepare(component: Component, parent: int) -> None:
    _plain_signals()
    # A group of its own: signals to a terminal's or the supervisor's group are not meant for it.
    os.setpgid(0, 0)
    if not component.outlives:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(0)
    _redirect(component.log)
    if component.namespace is not None:
        enter_network(component.namespace)
    if not component.external:
        _libc.prctl(_PR_SET_NAME, f"t-{component.name}".encode()[:15], 0, 0, 0)
