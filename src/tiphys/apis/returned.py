"""Which built-in kinds answer a deletion with the object as it was last; the others answer with a Status."""

from __future__ import annotations

from typing import Final

RETURNED: Final = frozenset((
    ("", "pods"), ("", "persistentvolumes"), ("", "persistentvolumeclaims"), ("", "podtemplates"),
    ("", "resourcequotas"), ("", "serviceaccounts"), ("", "services"), ("storage.k8s.io", "storageclasses"),
    ("storage.k8s.io", "volumeattachments"), ("storage.k8s.io", "csinodes"), ("storage.k8s.io", "csidrivers"),
    ("storage.k8s.io", "volumeattributesclasses"), ("resource.k8s.io", "deviceclasses"),
    ("resource.k8s.io", "devicetaintrules"), ("resource.k8s.io", "resourceclaims"),
    ("resource.k8s.io", "resourceclaimtemplates"), ("resource.k8s.io", "resourcepoolstatusrequests"),
    ("resource.k8s.io", "resourceslices"),
))  # fmt: skip
"""Groups and resources, as the published documents say."""

ANSWERED: Final = RETURNED | {("", "namespaces")}
"""Those that do so. Of Namespaces the documents say that they answer with a Status."""
