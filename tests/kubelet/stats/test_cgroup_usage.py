"""Figures from the cgroup trees, v1 and v2."""

import pytest

from tiphys.kubelet.stats.cgroup_usage import CgroupUsage, read


def write(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


V1_MEMORY = {
    "memory/a/b/memory.usage_in_bytes": "5000\n",
    "memory/a/b/memory.stat": "cache 1\ntotal_inactive_file 1000\n",
}
V2 = {
    "cgroup.controllers": "cpu memory",
    "a/b/cpu.stat": "usage_usec 7\nuser_usec 5\n",
    "a/b/memory.current": "5000\n",
    "a/b/memory.stat": "file 1\ninactive_file 6000\n",
}


@pytest.mark.parametrize("tree", ["cpuacct", "cpu,cpuacct", "cpu"])
def test_v1(tmp_path, tree):
    write(tmp_path, {f"{tree}/a/b/cpuacct.usage": "7000\n", **V1_MEMORY})
    assert read("/a/b", tmp_path) == CgroupUsage(7000, 4000)


def test_v2_and_a_working_set_that_is_never_negative(tmp_path):
    write(tmp_path, V2)
    assert read("/a/b", tmp_path) == CgroupUsage(7000, 0)


@pytest.mark.parametrize("files", [{}, V1_MEMORY, {"cgroup.controllers": ""}, {**V2, "a/b/cpu.stat": "x 1"}])
def test_a_tree_that_does_not_say(tmp_path, files):
    write(tmp_path, files)
    assert read("/a/b", tmp_path) is None


def test_probe_counts_come_and_go():
    from tiphys.kubelet.probes import counts

    pod = {"metadata": {"name": "p", "namespace": "ns", "uid": "u-counts"}}
    counts.count(pod, "c", "liveness", ok=True)
    counts.count(pod, "c", "liveness", ok=True)
    counts.count(pod, "c", "liveness", ok=False)
    labels = 'container="c",namespace="ns",pod="p",pod_uid="u-counts",probe_type="Liveness"'
    text = counts.render_probes().decode()
    assert f'prober_probe_total{{{labels},result="successful"}} 2' in text
    assert f'prober_probe_total{{{labels},result="failed"}} 1' in text
    counts.forget(pod, "c", "liveness")
    assert "u-counts" not in counts.render_probes().decode()
