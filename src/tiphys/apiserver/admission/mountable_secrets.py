"""Which Secrets pods of a service account may use, where the account says that it keeps to its list. Pure.

Source: the "Service Accounts" page, "Enforce mountable secrets".
"""

from __future__ import annotations

from typing import Final

from tiphys.apimachinery.go_text import BOOLS
from tiphys.apimachinery.meta import Object
from tiphys.apis.defaulting import each, peek

_ENFORCED: Final = "kubernetes.io/enforce-mountable-secrets"


def are_enforced(account: Object) -> bool:
    """Tell whether an account's pods may use no other Secrets than it names."""
    return BOOLS.get(peek(account, "metadata", "annotations").get(_ENFORCED, ""), False)


def refused(account: Object, spec: Object) -> str:
    """Return why a pod may not use what it uses, empty where it may."""
    name, allowed = account["metadata"]["name"], _named(account, "secrets")
    for volume in each(spec, "volumes"):
        secret = peek(volume, "secret").get("secretName")
        if volume.get("secret") is not None and secret not in allowed:
            return _text(f'volume with secret.secretName="{secret or ""}"', name)
    for key, kind in (("initContainers", "init container"), ("containers", "container")):
        if why := _of_containers(account, spec, key, kind):
            return why
    pulls = _named(account, "imagePullSecrets")
    for index, reference in enumerate(each(spec, "imagePullSecrets")):
        if reference.get("name") not in pulls:
            return (
                f'imagePullSecrets[{index}].name="{reference.get("name") or ""}" is not allowed because '
                f"service account {name} does not reference that imagePullSecret"
            )
    return ""


def joining(account: Object, spec: Object) -> str:
    """Return why a pod's debugging containers may not use what they use, empty where they may."""
    return _of_containers(account, spec, "ephemeralContainers", "ephemeral container")


def _named(account: Object, key: str) -> set[str]:
    return {str(one.get("name") or "") for one in each(account, key)}


def _of_containers(account: Object, spec: Object, key: str, kind: str) -> str:
    name, allowed = account["metadata"]["name"], _named(account, "secrets")
    for container in each(spec, key):
        about = f"{kind} {container['name']} with"
        for env in each(container, "env"):
            reference = peek(env, "valueFrom").get("secretKeyRef")
            if reference is not None and (secret := reference.get("name") or "") not in allowed:
                return _text(f'{about} envVar {env["name"]} referencing secret.secretName="{secret}"', name)
        for source in each(container, "envFrom"):
            reference = source.get("secretRef")
            if reference is not None and (secret := reference.get("name") or "") not in allowed:
                return _text(f'{about} envFrom referencing secret.secretName="{secret}"', name)
    return ""


def _text(what: str, account: str) -> str:
    return f"{what} is not allowed because service account {account} does not reference that secret"
