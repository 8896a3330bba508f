"""Which volumes must be attached to which nodes, and which may go. Pure.

Volumes of CSI drivers only: a VolumeAttachment asks the driver's attacher. A volume that is for one node is
not attached to a second one while the first has it.
Source: storage.k8s.io/v1 VolumeAttachment; core/v1 NodeStatus ``volumesAttached`` and ``volumesInUse``.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import field

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.meta import Object, get_condition
from tiphys.controllers import podstate

_COMPUTED = re.compile("csi-[0-9a-f]{64}")
_OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"
LATE, OUT_OF_SERVICE = "timeout", "out-of-service"
"""What metrics call the reasons to take from a node what it has mounted."""
_SHARED_MODES = {"ReadOnlyMany", "ReadWriteMany"}


@dataclass(frozen=True, slots=True)
class Need:
    """One volume that a pod needs on its node."""

    driver: str
    handle: str
    volume: str
    """The PersistentVolume's name."""
    node: str
    pod: Object
    shared: bool
    """Several nodes may have it at once."""

    @property
    def attachment(self) -> str:
        """The VolumeAttachment's name."""
        return attachment_name(self.handle, self.driver, self.node)

    @property
    def unique(self) -> str:
        """The volume as nodes call it."""
        return unique_name(self.driver, self.handle)


@dataclass(slots=True)
class Plan:
    """What to write for one node."""

    attach: list[Need] = field(default_factory=list)
    detach: list[Object] = field(default_factory=list)
    blocked: list[tuple[Need, str]] = field(default_factory=list)
    """Volumes that another node has, with what to say."""
    held: list[Object] = field(default_factory=list)
    """Attachments that would go but for what the node has mounted."""
    forced: list[str] = field(default_factory=list)
    """Why attachments go (they are in ``detach`` too) although the node has them mounted."""
    volumes_attached: list[Object] | None = None
    """``status.volumesAttached`` of the node; None when it says so already."""


def attachment_name(handle: str, driver: str, node: str) -> str:
    """Return the name that everybody computes alike, so that no volume is attached twice."""
    return "csi-" + hashlib.sha256(f"{handle}{driver}{node}".encode()).hexdigest()


def is_computed(attachment: Object, volumes: Mapping[str, Object]) -> bool:
    """Tell whether an attachment has the name that is computed for it: others people made, and they stay.

    Of a volume that is gone only the form of the name is known.
    """
    name, spec = attachment["metadata"]["name"], attachment["spec"]
    volume = volumes.get(str((spec.get("source") or {}).get("persistentVolumeName") or ""))
    csi = ((volume or {}).get("spec") or {}).get("csi")
    if csi:
        return bool(name == attachment_name(csi["volumeHandle"], csi["driver"], spec["nodeName"]))
    return volume is None and _COMPUTED.fullmatch(name) is not None


def unique_name(driver: str, handle: str) -> str:
    """Return a volume's name in a node's status."""
    return f"kubernetes.io/csi/{driver}^{handle}"


def needs_of(
    pod: Object, claims: Mapping[str, Object], volumes: Mapping[str, Object], drivers: Mapping[str, Object]
) -> list[Need]:
    """Return what a pod needs attached where it runs; ``claims`` by key, the rest by name."""
    node = pod["spec"].get("nodeName")
    if not node or podstate.is_terminal(pod):
        return []
    found: list[Need] = []
    for name in claim_names(pod):
        claim = claims.get(f"{pod['metadata']['namespace']}/{name}")
        volume = volumes.get(str((claim or {}).get("spec", {}).get("volumeName") or ""))
        csi = ((volume or {}).get("spec") or {}).get("csi")
        if volume is None or not csi or not _attachable(drivers.get(csi["driver"])):
            continue
        shared = bool(_SHARED_MODES & set(volume["spec"].get("accessModes") or ()))
        found.append(Need(csi["driver"], csi["volumeHandle"], volume["metadata"]["name"], node, pod, shared))
    return found


def claim_names(pod: Object) -> Iterable[str]:
    """Yield the names of the claims that a pod uses."""
    for volume in pod["spec"].get("volumes") or ():
        if volume.get("persistentVolumeClaim"):
            yield volume["persistentVolumeClaim"]["claimName"]
        elif volume.get("ephemeral") is not None:
            yield f"{pod['metadata']['name']}-{volume['name']}"


def _attachable(driver: Object | None) -> bool:
    """A driver that is not known is taken to attach, as its object may come later."""
    return bool(((driver or {}).get("spec") or {}).get("attachRequired", True))


def plan(
    node: Object,
    needs: Sequence[Need],
    attachments: Sequence[Object],
    volumes: Mapping[str, Object],
    users: Callable[[Need], Sequence[Object]] = lambda _need: (),
    *,
    overdue: Container[str] = (),
) -> Plan:
    """Plan one node; ``needs`` are its own, ``attachments`` are all there are.

    ``users`` finds the pods on other nodes that use a volume, to say so where it cannot be attached. What has
    been held for too long (``overdue``, by name) goes if the node is not healthy.
    """
    name = node["metadata"]["name"]
    result = Plan()
    wanted = {need.attachment: need for need in needs}
    present = {item["metadata"]["name"]: item for item in attachments}
    for key, need in wanted.items():
        if key in present:
            continue
        text = "" if need.shared else _elsewhere(need, attachments, users)
        if text:
            result.blocked.append((need, text))
        else:
            result.attach.append(need)
    in_use = set((node.get("status") or {}).get("volumesInUse") or ())
    mine = [item for item in attachments if item["spec"].get("nodeName") == name]
    out_of_service = any(
        taint.get("key") == _OUT_OF_SERVICE for taint in (node.get("spec") or {}).get("taints") or ()
    )
    for item in mine:
        if item["metadata"]["name"] in wanted or podstate.is_deleting(item) or not is_computed(item, volumes):
            continue
        late = item["metadata"]["name"] in overdue and not _healthy(node)
        mounted = _unique_of(item, volumes) in in_use
        if not mounted or out_of_service or late:
            result.detach.append(item)
            if mounted:
                result.forced.append(LATE if late else OUT_OF_SERVICE)
        else:
            result.held.append(item)
    result.volumes_attached = _volumes_attached(node, mine, volumes)
    return result


def plan_gone(
    name: str,
    in_use: Container[str] | None,
    attachments: Sequence[Object],
    volumes: Mapping[str, Object],
    *,
    overdue: Container[str] = (),
) -> Plan:
    """Plan for a node that is gone: what it had mounted (None: nobody knows) is held until it is overdue."""
    result = Plan()
    for item in attachments:
        if item["spec"].get("nodeName") != name or podstate.is_deleting(item):
            continue
        if not is_computed(item, volumes):
            continue
        mounted = in_use is None or _unique_of(item, volumes) in in_use
        held = mounted and item["metadata"]["name"] not in overdue
        (result.held if held else result.detach).append(item)
        if mounted and not held:
            result.forced.append(LATE)
    return result


def _healthy(node: Object) -> bool:
    ready = get_condition(node, "Ready")
    return ready is not None and ready.get("status") == "True"


def _elsewhere(need: Need, attachments: Sequence[Object], users: Callable[[Need], Sequence[Object]]) -> str:
    taken = any(
        (item["spec"].get("source") or {}).get("persistentVolumeName") == need.volume
        and item["spec"].get("nodeName") != need.node
        for item in attachments
    )
    if not taken:
        return ""
    return f'Multi-Attach error for volume "{need.volume}" {_why(need, users(need))}'


def _why(need: Need, users: Sequence[Object]) -> str:
    own = need.pod["metadata"]["namespace"]
    names = sorted(pod["metadata"]["name"] for pod in users if pod["metadata"]["namespace"] == own)
    strange = len(users) - len(names)
    if not users:
        return "Volume is already exclusively attached to one node and can't be attached to another"
    if not names:
        return f"Volume is already used by {strange} pod(s) in different namespaces"
    tail = f" and {strange} pod(s) in different namespaces" if strange else ""
    return f"Volume is already used by pod(s) {', '.join(names)}{tail}"


def _unique_of(attachment: Object, volumes: Mapping[str, Object]) -> str:
    volume = volumes.get(str((attachment["spec"].get("source") or {}).get("persistentVolumeName") or ""))
    csi = ((volume or {}).get("spec") or {}).get("csi") or {}
    return unique_name(str(csi.get("driver")), str(csi.get("volumeHandle"))) if csi else ""


def _volumes_attached(
    node: Object, attachments: Sequence[Object], volumes: Mapping[str, Object]
) -> list[Object] | None:
    """The kubelet mounts what is listed here; other attachers' volumes stay as they are."""
    before = [one for one in (node.get("status") or {}).get("volumesAttached") or () if one.get("name")]
    attached = {
        _unique_of(item, volumes)
        for item in attachments
        if (item.get("status") or {}).get("attached") and not podstate.is_deleting(item)
    } - {""}
    kept = [
        one for one in before if one["name"] in attached or not one["name"].startswith("kubernetes.io/csi/")
    ]
    known = {one["name"] for one in kept}
    after = kept + [{"name": name, "devicePath": ""} for name in sorted(attached - known)]
    return None if after == before else after
