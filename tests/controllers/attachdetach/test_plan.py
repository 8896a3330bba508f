"""What is attached where: needs of pods, volumes of one node or of many, detaching when nobody holds on."""

import hashlib

import pytest

from tiphys.controllers.attachdetach.plan import Need, Plan, attachment_name, needs_of, plan, unique_name

DRIVER = "disks.example.com"


def pod(*claims, node="a", phase="Running", name="web", **volumes):
    used = [{"name": one, "persistentVolumeClaim": {"claimName": one}} for one in claims]
    used += [{"name": key, **value} for key, value in volumes.items()]
    return {
        "metadata": {"name": name, "namespace": "default", "uid": name},
        "spec": {"nodeName": node, "volumes": used},
        "status": {"phase": phase},
    }


def claim(volume):
    return {"spec": {"volumeName": volume}}


def volume(name, mode="ReadWriteOnce", **source):
    source = source or {"csi": {"driver": DRIVER, "volumeHandle": f"disk-{name}"}}
    return {"metadata": {"name": name}, "spec": {"accessModes": [mode], **source}}


def attachment(name, node="a", *, attached=False, deleting=False):
    meta = {"name": attachment_name(f"disk-{name}", DRIVER, node), "uid": f"{name}-{node}"}
    if deleting:
        meta["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    spec = {"attacher": DRIVER, "nodeName": node, "source": {"persistentVolumeName": name}}
    return {"metadata": meta, "spec": spec, "status": {"attached": attached}}


def node(name="a", *, in_use=(), attached=()):
    listed = [{"name": one, "devicePath": ""} for one in attached]
    return {"metadata": {"name": name}, "status": {"volumesInUse": list(in_use), "volumesAttached": listed}}


def need(name, on="a", *, shared=False):
    return Need(DRIVER, f"disk-{name}", name, on, pod(name, node=on), shared)


def unique(name):
    return unique_name(DRIVER, f"disk-{name}")


CLAIMS = {f"default/{name}": claim(name) for name in ("one", "two", "files")}
CLAIMS |= {"default/web-tmp": claim("one"), "default/waiting": claim("")}
VOLUMES = {
    "one": volume("one"),
    "two": volume("two", "ReadWriteMany"),
    "files": volume("files", nfs={"server": "s", "path": "/"}),
}


def test_the_names_are_upstreams():
    assert unique("one") == "kubernetes.io/csi/disks.example.com^disk-one"
    name = attachment_name("vol", "driver", "node")
    assert name == "csi-" + hashlib.sha256(b"voldrivernode").hexdigest()


@pytest.mark.parametrize(
    ("asking", "expected"),
    [
        (pod("one"), [("one", False)]),
        (pod("two", "files"), [("two", True)]),
        (pod(tmp={"ephemeral": {}}), [("one", False)]),
        (pod("waiting", "nobody"), []),
        (pod("one", node=""), []),
        (pod("one", phase="Succeeded"), []),
        (pod(e={"emptyDir": {}}), []),
    ],
    ids=["a disk", "of many nodes, and no disk", "ephemeral", "not bound", "not placed", "ended", "no claim"],
)
def test_needs(asking, expected):
    found = needs_of(asking, CLAIMS, VOLUMES, {})
    assert [(one.volume, one.shared) for one in found] == expected


def test_a_driver_that_attaches_nothing():
    driver = {DRIVER: {"spec": {"attachRequired": False}}}
    assert needs_of(pod("one"), CLAIMS, VOLUMES, driver) == []
    driver = {DRIVER: {"spec": {"attachRequired": True}}}
    assert len(needs_of(pod("one"), CLAIMS, VOLUMES, driver)) == 1


MULTI = (
    'Multi-Attach error for volume "one" Volume is already exclusively attached to one node and can\'t be '
    "attached to another"
)
HERE, ELSEWHERE = attachment("one"), attachment("one", "b")
DONE, GONE = attachment("one", attached=True), attachment("gone")
LISTED = [{"name": unique("one"), "devicePath": ""}]
ONE, TWO = need("one"), need("two", shared=True)


@pytest.mark.parametrize(
    ("users", "text"),
    [
        ([("a", "default"), ("b", "default")], "Volume is already used by pod(s) a, b"),
        ([("a", "x")], "Volume is already used by 1 pod(s) in different namespaces"),
        (
            [("a", "default"), ("b", "x")],
            "Volume is already used by pod(s) a and 1 pod(s) in different namespaces",
        ),
    ],
)
def test_who_has_it(users, text):
    pods = [{"metadata": {"name": name, "namespace": namespace}} for name, namespace in users]
    planned = plan(node(), [ONE], [ELSEWHERE], VOLUMES, lambda _need: pods)
    assert planned.blocked == [(ONE, f'Multi-Attach error for volume "one" {text}')]


CASES = {
    "attach": (node(), [ONE], [], Plan(attach=[ONE])),
    "asked for already": (node(), [ONE], [HERE], Plan()),
    "it is there": (node(), [ONE], [DONE], Plan(volumes_attached=LISTED)),
    "all is said": (node(attached=[unique("one")]), [ONE], [DONE], Plan()),
    "another node has it": (node(), [ONE], [ELSEWHERE], Plan(blocked=[(ONE, MULTI)])),
    "many nodes may have it": (node(), [TWO], [attachment("two", "b")], Plan(attach=[TWO])),
    "nobody needs it": (
        node(attached=[unique("one")]), [], [DONE], Plan(detach=[DONE]),
    ),
    "nobody needs what somebody made": (node(), [], [{**HERE, "metadata": {"name": "by-hand"}}], Plan()),
    "nobody needs it, and its volume is gone": (node(), [], [GONE], Plan(detach=[GONE])),
    "made by hand for a volume that is not": (
        node(), [], [{**GONE, "metadata": {"name": "csi-by-hand"}}], Plan(),
    ),
    "the node holds on": (
        node(in_use=[unique("one")], attached=[unique("one")]), [], [DONE], Plan(held=[DONE]),
    ),
    "it goes": (
        node(attached=[unique("one")]), [], [attachment("one", attached=True, deleting=True)],
        Plan(volumes_attached=[]),
    ),
    "other nodes' are theirs": (node(), [], [ELSEWHERE], Plan()),
    "other attachers' volumes stay": (
        node(attached=["kubernetes.io/other/x"]), [ONE], [DONE],
        Plan(volumes_attached=[{"name": "kubernetes.io/other/x", "devicePath": ""}, *LISTED]),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_plan(case):
    where, needs, attachments, expected = case
    assert plan(where, needs, attachments, VOLUMES) == expected
