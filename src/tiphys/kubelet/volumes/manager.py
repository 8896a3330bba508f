"""Setting up and taking down the volumes of pods under the node's folder.

Owns ``pods/<uid>/volumes``. Setting up is idempotent, and bringing content up to date is the same call.
Blocking work runs in threads. Refused kinds raise VolumeProblem with a clear text.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import NotFound, StatusError
from tiphys.apimachinery.meta import Object
from tiphys.apimachinery.quantity import parse
from tiphys.client.kinds import (
    CLUSTER_TRUST_BUNDLES,
    CLUSTER_TRUST_BUNDLES_V1ALPHA1,
    CONFIG_MAPS,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    SECRETS,
)
from tiphys.client.rest import Client
from tiphys.client.transport import TransportError
from tiphys.kubelet.kuberuntime.downward import DownwardProblem, NodeFacts, PodAddresses
from tiphys.kubelet.kuberuntime.env import referenced
from tiphys.kubelet.objects import ObjectCache, Ref
from tiphys.kubelet.tokens import Tokens
from tiphys.kubelet.volumes import mount
from tiphys.kubelet.volumes.atomic import Payload, write_payload
from tiphys.kubelet.volumes.hostpath import prepare_host_path
from tiphys.kubelet.volumes.ownership import give_to_group
from tiphys.kubelet.volumes.payload import Sources, VolumeProblem, references, volume_files

_API_KINDS = ("configMap", "secret", "downwardAPI", "projected")
_IN_MEMORY = ("secret", "downwardAPI", "projected")
_BIND_COMPLETED = "pv.kubernetes.io/bind-completed"


@dataclass(frozen=True, slots=True)
class Mounted:
    """A volume as it lies on the node."""

    path: Path
    read_only: bool = False


def kind_of(volume: Mapping[str, Any]) -> str:
    """Return the one key that says what a volume is; a volume without one is an emptyDir."""
    return next((key for key in volume if key != "name"), "emptyDir")


def pod_references(pod: Object) -> set[Ref]:
    """Return every config map and secret that the pod reads, in volumes, variables and for pulls."""
    namespace = pod["metadata"]["namespace"]
    config_maps, secrets = references(pod)
    spec = pod["spec"]
    for key in ("initContainers", "containers", "ephemeralContainers"):
        for container in spec.get(key) or ():
            maps, own_secrets = referenced(container)
            config_maps |= maps
            secrets |= own_secrets
    secrets |= {item.get("name", "") for item in spec.get("imagePullSecrets") or ()}
    refs: set[Ref] = {(CONFIG_MAPS, namespace, name) for name in config_maps}
    return refs | {(SECRETS, namespace, name) for name in secrets}


class Volumes:
    """One for the node."""

    def __init__(self, root: Path, client: Client, objects: ObjectCache, tokens: Tokens) -> None:
        self.root = root
        self.node = NodeFacts()
        self._client = client
        self._objects = objects
        self._tokens = tokens

    def pod_dir(self, uid: str) -> Path:
        """Return the folder that holds all of a pod's files on this node."""
        return self.root / "pods" / uid

    def path_of(self, uid: str, kind: str, name: str) -> Path:
        plugin = {"emptyDir": "empty-dir", "configMap": "configmap", "downwardAPI": "downward-api"}.get(
            kind, kind
        )
        return self.pod_dir(uid) / "volumes" / f"kubernetes.io~{plugin}" / name

    async def setup(self, pod: Object, addresses: PodAddresses) -> dict[str, Mounted]:
        """Set up (or bring up to date) all volumes and return them by name.

        Raises:
            VolumeProblem: the first that cannot be set up now.
        """
        uid = pod["metadata"]["uid"]
        self._objects.hold(uid, pod_references(pod))
        mounted = {}
        for volume in pod["spec"].get("volumes") or ():
            if kind_of(volume) == "image":
                continue  # made when the first container that uses it starts, as its own image is
            try:
                mounted[volume["name"]] = await self._one(pod, volume, addresses)
            except (VolumeProblem, DownwardProblem) as error:
                text = f'MountVolume.SetUp failed for volume "{volume["name"]}" : {error}'
                raise VolumeProblem(text) from error
            except (StatusError, TransportError, OSError, ValueError) as error:
                text = f'MountVolume.SetUp failed for volume "{volume["name"]}" : {error}'
                raise VolumeProblem(text) from error
        return mounted

    async def refresh(self, pod: Object, addresses: PodAddresses) -> None:
        """Bring files made from API objects up to date. Raises as ``setup``."""
        if any(kind_of(volume) in _API_KINDS for volume in pod["spec"].get("volumes") or ()):
            await self.setup(pod, addresses)

    async def _one(self, pod: Object, volume: Mapping[str, Any], addresses: PodAddresses) -> Mounted:
        kind = kind_of(volume)
        path = self.path_of(pod["metadata"]["uid"], kind, volume["name"])
        if kind == "emptyDir":
            return await asyncio.to_thread(self._empty_dir, pod, volume.get("emptyDir") or {}, path)
        if kind == "hostPath":
            source = volume["hostPath"]
            return Mounted(
                await asyncio.to_thread(prepare_host_path, Path(source["path"]), source.get("type") or "")
            )
        if kind == "persistentVolumeClaim":
            source = volume["persistentVolumeClaim"]
            return await self._claim(pod, source["claimName"], read_only=bool(source.get("readOnly")))
        if kind == "ephemeral":
            return await self._claim(pod, f"{pod['metadata']['name']}-{volume['name']}", read_only=False)
        if kind not in _API_KINDS:
            raise VolumeProblem(f"no volume plugin matched name: kubernetes.io/{kind}")
        files = volume_files(pod, volume, await self._sources(pod, volume, addresses))
        await asyncio.to_thread(self._write, pod, kind, path, files or {})
        return Mounted(path, read_only=True)

    async def _sources(self, pod: Object, volume: Mapping[str, Any], addresses: PodAddresses) -> Sources:
        """Fetch what the volume reads, then hand it over as plain lookups."""
        namespace = pod["metadata"]["namespace"]
        config_maps, secrets = references({"spec": {"volumes": [volume]}})
        found: dict[tuple[str, str], Object | None] = {}
        try:
            for name in config_maps:
                found["configmap", name] = await self._objects.get((CONFIG_MAPS, namespace, name))
            for name in secrets:
                found["secret", name] = await self._objects.get((SECRETS, namespace, name))
        except TimeoutError as error:
            kind = "secret" if config_maps <= {key[1] for key in found} else "configmap"
            raise VolumeProblem(
                f"failed to sync {kind} cache: timed out waiting for the condition"
            ) from error
        tokens: dict[tuple[str, int], bytes] = {}
        parts = (volume.get("projected") or {}).get("sources") or ()
        for part in parts:
            if source := part.get("serviceAccountToken"):
                key = (source.get("audience") or "", int(source.get("expirationSeconds") or 3600))
                tokens[key] = await self._tokens.get(pod, *key)
        return Sources(
            config_map=lambda name: found.get(("configmap", name)),
            secret=lambda name: found.get(("secret", name)),
            addresses=addresses,
            node=self.node,
            token=lambda audience, seconds: tokens[audience, seconds],
            trust_bundles=await self._bundles()
            if any("clusterTrustBundle" in part for part in parts)
            else (),
        )

    async def _bundles(self) -> list[Object]:
        """Return all, of the newest version that is served. Raises StatusError, TransportError."""
        try:
            found = await self._client.list(CLUSTER_TRUST_BUNDLES)
        except NotFound:
            found = await self._client.list(CLUSTER_TRUST_BUNDLES_V1ALPHA1)
        return cast(list[Object], found["items"])

    def _write(self, pod: Object, kind: str, path: Path, files: Mapping[str, Payload]) -> None:
        path.mkdir(mode=0o755, parents=True, exist_ok=True)
        path.chmod(0o755)
        if kind in _IN_MEMORY and not mount.is_mount(path):
            mount.mount("tmpfs", path, "tmpfs", data="mode=0755")
        changed = write_payload(path, files)
        group = (pod["spec"].get("securityContext") or {}).get("fsGroup")
        if group is not None and changed:
            give_to_group(path, int(group), read_only=True)

    def _empty_dir(self, pod: Object, source: Mapping[str, Any], path: Path) -> Mounted:
        new = not path.exists()
        path.mkdir(parents=True, exist_ok=True)
        if source.get("medium") == "Memory" and not mount.is_mount(path):
            limit = source.get("sizeLimit")
            size = f",size={parse(str(limit)).value()}" if limit and parse(str(limit)).value() else ""
            mount.mount("tmpfs", path, "tmpfs", data=f"mode=0777{size}")
            new = True
        if new:
            path.chmod(0o777)
            group = (pod["spec"].get("securityContext") or {}).get("fsGroup")
            if group is not None:
                give_to_group(path, int(group))
        return Mounted(path)

    async def _claim(self, pod: Object, name: str, *, read_only: bool) -> Mounted:
        """Volumes behind claims: those that are a path on this node."""
        try:
            claim = await self._client.get(PERSISTENT_VOLUME_CLAIMS, name, pod["metadata"]["namespace"])
        except NotFound as error:
            raise VolumeProblem(f'persistentvolumeclaim "{name}" not found') from error
        if not _is_bound(claim):
            raise VolumeProblem(f'persistentvolumeclaim "{name}" not bound')
        volume_name = claim["spec"]["volumeName"]
        spec = (await self._client.get(PERSISTENT_VOLUMES, volume_name))["spec"]
        if source := spec.get("hostPath"):
            path = await asyncio.to_thread(prepare_host_path, Path(source["path"]), source.get("type") or "")
        elif source := spec.get("local"):
            path = await asyncio.to_thread(prepare_host_path, Path(source["path"]), "Directory")
        else:
            raise VolumeProblem(f'persistentvolume "{volume_name}" is of a kind that this node cannot mount')
        group = (pod["spec"].get("securityContext") or {}).get("fsGroup")
        if group is not None and spec.get("local") and not read_only:
            await asyncio.to_thread(give_to_group, path, int(group), on_root_mismatch=True)
        return Mounted(path, read_only=read_only)

    async def teardown(self, uid: str) -> None:
        """Unmount and remove all of a pod's files. Raises OSError if something stays busy."""
        self._objects.release(uid)
        self._tokens.forget(uid)
        await asyncio.to_thread(self._remove, self.pod_dir(uid))

    def _remove(self, folder: Path) -> None:
        if not folder.exists():
            return
        mount.unmount_all(folder)
        if mount.mounts_under(folder):
            raise OSError(f"mounts remain under {folder}")
        shutil.rmtree(folder)

    def known_pods(self) -> set[str]:
        """Return the UIDs that have a folder on this node."""
        folder = self.root / "pods"
        return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


def _is_bound(claim: Object) -> bool:
    """Whether a claim has its volume for good. Its phase, which is written last, may not say so yet."""
    phase = (claim.get("status") or {}).get("phase")
    completed = _BIND_COMPLETED in (claim["metadata"].get("annotations") or {})
    return bool(claim["spec"].get("volumeName")) and (phase == "Bound" or (phase != "Lost" and completed))
