"""Nodes that have a pod's images already, and host ports of what runs beside it."""

from __future__ import annotations

from typing import Any

import pytest
from scheduler_builders import columns, node

from tiphys.scheduler.plugins.resources import ImageLocality
from tiphys.scheduler.podinfo import PodInfo, pod_info

MIB = 1024 * 1024


def with_images(name: str, *sizes: int) -> dict[str, Any]:
    images = [
        {"names": [f"gcr.io/{size}:latest", f"gcr.io/{size}:v1"], "sizeBytes": size * MIB} for size in sizes
    ]
    return node(name, images=images)


def wants(*sizes: int, init: tuple[int, ...] = (), volumes: tuple[int, ...] = ()) -> PodInfo:
    def containers(found: tuple[int, ...]) -> list[dict[str, Any]]:
        return [{"name": f"c{size}", "image": f"gcr.io/{size}"} for size in found]

    mounted = [{"name": f"v{size}", "image": {"reference": f"gcr.io/{size}"}} for size in volumes]
    spec = {"containers": containers(sizes), "initContainers": containers(init), "volumes": mounted}
    return pod_info({"metadata": {"name": "p", "namespace": "d"}, "spec": spec})


FULL, SMALL, NONE = (40, 300, 2000), (250, 10), ()
CASES: dict[str, tuple[PodInfo, tuple[tuple[int, ...], ...], list[int] | None]] = {
    "two images on two nodes: the larger one": (wants(40, 250), (FULL, SMALL), [0, 5]),
    "two images on one node": (wants(40, 300), (FULL, SMALL), [7, 0]),
    "no more than the limit": (wants(10, 2000), (FULL, SMALL), [49, 0]),
    "no more than the limit, with a node that has none": (wants(10, 2000), (FULL, SMALL, NONE), [32, 0, 0]),
    "containers that come first": (wants(2000, init=(40,)), (FULL, SMALL), [50, 0]),
    "mounted images": (wants(10, volumes=(2000,)), (FULL, SMALL), [49, 0]),
    "none anywhere": (wants(5), (FULL, SMALL), None),
}


@pytest.mark.parametrize("name", CASES)
def test_scores(name: str) -> None:
    info, nodes, expected = CASES[name]
    there = columns(*(with_images(f"n{index}", *sizes) for index, sizes in enumerate(nodes)))
    found = ImageLocality().score(info, there, there.alive)
    scores = None if found is None else [int(found[there.rows[f"n{index}"]]) for index in range(len(nodes))]
    assert scores == expected


def test_parts_of_bytes_go_as_fractions_of_nodes_have_them() -> None:
    """3/11 of the size is, in binary fractions, one byte short of what the fourth point takes."""
    image = {"names": ["gcr.io/a:latest"], "sizeBytes": 238_683_863}
    there = columns(*(node(f"n{index}", images=[image] if index < 3 else []) for index in range(11)))
    wanting = {"metadata": {"name": "p", "namespace": "d"}, "spec": {"containers": [{"image": "gcr.io/a"}]}}
    found = ImageLocality().score(pod_info(wanting), there, there.alive)
    assert found is not None
    assert found[there.rows["n0"]] == 3


@pytest.mark.parametrize(
    ("image", "name"),
    [("root", "root:latest"), ("gcr.io:5000/root", "gcr.io:5000/root:latest"), ("root:tag", "root:tag"),
     ("root@sha256:0123", "root@sha256:0123")],
)  # fmt: skip
def test_names(image: str, name: str) -> None:
    there = columns(node("n", images=[{"names": [name], "sizeBytes": 900 * MIB}]))
    spec = {"containers": [{"name": "c", "image": image}]}
    found = ImageLocality().score(pod_info({"metadata": {"name": "p"}, "spec": spec}), there, there.alive)
    assert found is not None
    assert found[there.rows["n"]] == 89


def test_host_ports_of_what_lasts() -> None:
    def container(name: str, port: int, **more: Any) -> dict[str, Any]:
        return {"name": name, "ports": [{"containerPort": port, "hostPort": port}], **more}

    spec = {
        "containers": [container("c", 80)],
        "initContainers": [container("first", 81), container("beside", 82, restartPolicy="Always")],
    }
    found = pod_info({"metadata": {"name": "p"}, "spec": spec}).ports
    assert {number for _, _, number in found} == {80, 82}
