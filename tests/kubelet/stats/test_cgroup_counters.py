"""What cgroups and network namespaces count, read from trees of files."""

from tiphys.kubelet.stats.cgroup_counters import (
    Counters,
    Interface,
    first_process,
    read_counters,
    read_network,
)

V1 = {
    "cpuacct/p/cpuacct.stat": "user 150\nsystem 50\n",
    "cpu/p/cpu.stat": "nr_periods 10\nnr_throttled 3\nthrottled_time 7000\n",
    "cpu/p/cpu.shares": "102\n",
    "cpu/p/cpu.cfs_period_us": "100000\n",
    "cpu/p/cpu.cfs_quota_us": "-1\n",
    "memory/p/memory.usage_in_bytes": "5000\n",
    "memory/p/memory.max_usage_in_bytes": "6000\n",
    "memory/p/memory.failcnt": "2\n",
    "memory/p/memory.limit_in_bytes": "9223372036854771712\n",
    "memory/p/memory.stat": (
        "cache 1\ntotal_cache 11\ntotal_rss 12\ntotal_mapped_file 13\ntotal_swap 14\n"
        "total_inactive_file 15\ntotal_pgfault 16\ntotal_pgmajfault 17\n"
    ),
    "memory/p/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n",
    "pids/p/pids.current": "4\n",
}
V2 = {
    "cgroup.controllers": "cpu memory pids\n",
    "p/cpu.stat": "user_usec 1500\nsystem_usec 500\nnr_periods 10\nnr_throttled 3\nthrottled_usec 7\n",
    "p/cpu.weight": "1\n",
    "p/cpu.max": "20000 100000\n",
    "p/memory.current": "5000\n",
    "p/memory.peak": "6000\n",
    "p/memory.max": "8000\n",
    "p/memory.events": "low 0\nmax 2\noom_kill 1\n",
    "p/memory.stat": "anon 12\nfile 11\nfile_mapped 13\ninactive_file 15\npgfault 16\npgmajfault 17\n",
    "p/memory.swap.current": "14\n",
    "p/pids.current": "4\n",
}
MEMORY = {
    "memory_usage": 5000, "memory_max_usage": 6000, "memory_failures": 2, "memory_cache": 11,
    "memory_rss": 12, "memory_mapped": 13, "memory_swap": 14, "memory_inactive_file": 15, "page_faults": 16,
    "major_page_faults": 17, "oom_kills": 1, "processes": 4,
}  # fmt: skip


def write(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_v1(tmp_path):
    write(tmp_path, V1)
    assert read_counters("/p", tmp_path) == Counters(
        1_500_000_000, 500_000_000, 10, 3, 7000, 102, 100000, -1, memory_limit=0, **MEMORY
    )


def test_v1_with_controllers_that_share_a_tree(tmp_path):
    joined = {
        name.replace("cpuacct/", "cpu,cpuacct/").replace("cpu/", "cpu,cpuacct/"): text
        for name, text in V1.items()
    }
    write(tmp_path, joined)
    found = read_counters("/p", tmp_path)
    assert (found.cpu_user, found.cfs_periods) == (1_500_000_000, 10)


def test_v2(tmp_path):
    write(tmp_path, V2)
    assert read_counters("p", tmp_path) == Counters(
        1_500_000, 500_000, 10, 3, 7000, 2, 100000, 20000, memory_limit=8000, **MEMORY
    )


def test_v2_without_limits(tmp_path):
    write(tmp_path, {**V2, "p/memory.max": "max\n", "p/cpu.max": "max 100000\n"})
    found = read_counters("p", tmp_path)
    assert (found.memory_limit, found.cpu_quota, found.cpu_period) == (0, None, 100000)


def test_nothing_there(tmp_path):
    assert read_counters("/gone", tmp_path) == Counters()
    assert first_process("/gone", tmp_path) is None
    assert read_network(0, tmp_path) == []


def test_a_process_of_it(tmp_path):
    write(tmp_path, {"pids/p/cgroup.procs": "41\n42\n"})
    assert first_process("/p", tmp_path) == 41


def test_interfaces(tmp_path):
    heads = "Inter-|   Receive                            |  Transmit\n face |bytes packets errs drop ...\n"
    rows = "    lo: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n  eth0: 100 10 1 2 0 0 0 0 200 20 3 4 0 0 0 0\n"
    write(tmp_path, {"7/net/dev": heads + rows})
    assert read_network(7, tmp_path) == [Interface("eth0", 100, 10, 1, 2, 200, 20, 3, 4)]
