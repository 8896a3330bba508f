"""Since when there are versions and resources of the API, as far back as a server may behave. Data.

What is not named here is older than that. Read by servers with ``--emulated-version``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tiphys.apimachinery.compatibility import Version
from tiphys.apimachinery.meta import GVR
from tiphys.apis.table import ResourceTable

SINCE: Final[Mapping[tuple[str, ...], Version]] = {
    ("admissionregistration.k8s.io", "v1", "mutatingadmissionpolicies"): (1, 36),
    ("admissionregistration.k8s.io", "v1", "mutatingadmissionpolicybindings"): (1, 36),
    ("admissionregistration.k8s.io", "v1beta1"): (1, 34),
    ("certificates.k8s.io", "v1beta1", "podcertificaterequests"): (1, 35),
    ("resource.k8s.io", "v1"): (1, 34),
    ("resource.k8s.io", "v1alpha3", "resourcepoolstatusrequests"): (1, 36),
    ("resource.k8s.io", "v1beta2", "devicetaintrules"): (1, 36),
    ("scheduling.k8s.io", "v1alpha2"): (1, 36),
    ("storage.k8s.io", "v1", "volumeattributesclasses"): (1, 34),
    ("storagemigration.k8s.io", "v1beta1"): (1, 35),
}


def younger(table: ResourceTable, emulated: Version) -> frozenset[GVR]:
    """Return the rows that a server of that version did not have yet."""
    return frozenset(row.gvr for row in table if _since(row.gvr) > emulated)


def _since(gvr: GVR) -> Version:
    plural = gvr.resource.partition("/")[0]
    found = (SINCE.get((gvr.group, gvr.version)), SINCE.get((gvr.group, gvr.version, plural)))
    return max((one for one in found if one is not None), default=(0, 0))
