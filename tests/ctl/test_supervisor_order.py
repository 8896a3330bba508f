"""In which order a supervisor imports and starts, without any process."""

from __future__ import annotations

from pathlib import Path

import pytest

from tiphys.ctl.components import components
from tiphys.ctl.layout import Cluster
from tiphys.ctl.supervisor import Child, Supervisor


class _Recorded(Supervisor):
    """Notes what it would do."""

    def __init__(self, folder: Path, *, answers_after: str) -> None:
        self.done: list[str] = []
        cluster = Cluster("t", 63, folder)
        super().__init__(cluster, components(cluster), lambda *_: 0, self._note_preload)
        self._answers_after = answers_after

    def _note_preload(self, commands: object) -> None:
        assert isinstance(commands, list)
        self.done += [f"import {command}" for command in commands]

    def _api_answers(self) -> bool:
        return f"import {self._answers_after}" in self.done

    def _start(self, child: Child) -> None:
        child.pid = 1
        self.done.append(f"start {child.component.command}")

    def _save(self) -> None: ...


@pytest.mark.parametrize("answers_after", ["kubelet", "scheduler"])
def test_each_starts_once_it_is_imported_and_the_api_answers(tmp_path: Path, answers_after: str) -> None:
    supervisor = _Recorded(tmp_path, answers_after=answers_after)
    supervisor._start_due()
    assert supervisor.done == ["start apiserver", "start containerd"]
    supervisor.done.clear()
    supervisor._preload_all()
    imports = [step for step in supervisor.done if step.startswith("import")]
    assert imports == [
        "import kubelet", "import proxy", "import dns",
        "import controller-manager", "import scheduler", "import apiserver",
    ]  # fmt: skip
    for command in ("kubelet", "proxy", "dns", "controller-manager", "scheduler"):
        start = supervisor.done.index(f"start {command}")
        assert start > supervisor.done.index(f"import {command}")
        assert start > supervisor.done.index(f"import {answers_after}")
    if answers_after == "kubelet":
        assert supervisor.done[:4] == ["import kubelet", "start kubelet", "import proxy", "start proxy"]
    else:
        assert supervisor.done[5:7] == ["start controller-manager", "start scheduler"]


def test_a_stop_is_not_held_up_by_imports(tmp_path: Path) -> None:
    supervisor = _Recorded(tmp_path, answers_after="kubelet")
    supervisor._stopping = True
    supervisor._preload_all()
    assert supervisor.done == []
