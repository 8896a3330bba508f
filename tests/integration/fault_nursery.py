"""Run by ``test_faults``: forks components from one process that has imported them, and kills them.

Takes one JSON line a command on standard input and answers each with a line: ``["start", NAME, FLAGS]`` and
``["kill", NAME]``. As their parent it knows that a process id is still that child's.
"""

import importlib
import json
import os
import signal
import sys

from tiphys.cmd.main import run_component

LOADED = [
    "tiphys.cmd.apiserver", "tiphys.cmd.controller_manager", "tiphys.cmd.scheduler", "tiphys.storage.sqlite",
    "tiphys.storage.etcd_wire", "tiphys.controllers.manager", "tiphys.scheduler.scheduler",
]  # fmt: skip


def become(name: str, flags: list[str]) -> None:
    """Be the component; its log goes to a file of its own."""
    log = os.open(f"{name}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    code = 1
    try:
        code = run_component(name, flags)
    finally:
        os._exit(code)


def main() -> None:
    for module in LOADED:
        importlib.import_module(module)
    children: dict[str, int] = {}
    for line in sys.stdin:
        do, name, *rest = json.loads(line)
        if do == "start":
            pid = os.fork()
            if pid == 0:
                become(name, rest[0])
            children[name] = pid
        elif name in children:
            os.kill(children[name], signal.SIGKILL)
            os.waitpid(children.pop(name), 0)
        print("done", flush=True)
    for pid in children.values():
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


if __name__ == "__main__":
    main()
