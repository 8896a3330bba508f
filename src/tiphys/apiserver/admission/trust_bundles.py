"""ClusterTrustBundleAttest: only who may ``attest`` for a signer says which roots it has (KEP-3257)."""

from __future__ import annotations

from tiphys.apimachinery.meta import Object
from tiphys.apis.defaulting import peek
from tiphys.apiserver.admission import signers
from tiphys.apiserver.admission.attributes import Attributes

_COLLECTED = ("ownerReferences", "finalizers", "managedFields", "resourceVersion", "generation")
"""What of metadata may change for the garbage collector's sake, or changes by itself."""


class ClusterTrustBundleAttest:
    """Judges bundles that name a signer."""

    NAME = "ClusterTrustBundleAttest"
    RESOURCES = frozenset({(signers.GROUP, "clustertrustbundles")})
    VALIDATES = frozenset({"CREATE", "UPDATE"})

    async def validate(self, attributes: Attributes) -> None:
        bundle = attributes.obj or {}
        signer = str(peek(bundle, "spec").get("signerName") or "")
        if not signer or (attributes.old is not None and _core(bundle) == _core(attributes.old)):
            return
        if not await signers.may(attributes, "attest", signer):
            raise attributes.refuse(f'user not permitted to attest for signerName "{signer}"')


def _core(bundle: Object) -> Object:
    meta = {key: value for key, value in bundle["metadata"].items() if key not in _COLLECTED}
    return {**bundle, "metadata": meta}
