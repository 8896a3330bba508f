"""Which labels under Kubernetes' own domains a kubelet may give its node. Data and a rule over it.

Known to the kubelet, which refuses to be told others, and to the API server's NodeRestriction.
Source: "Well-Known Labels, Annotations and Taints", NodeRestriction in "Admission Control".
"""

from __future__ import annotations

from typing import Final

KUBELET_LABELS: Final = frozenset(
    {
        "kubernetes.io/hostname", "kubernetes.io/os", "kubernetes.io/arch", "beta.kubernetes.io/os",
        "beta.kubernetes.io/arch", "topology.kubernetes.io/zone", "topology.kubernetes.io/region",
        "failure-domain.beta.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/region",
        "beta.kubernetes.io/instance-type", "node.kubernetes.io/instance-type",
    }
)  # fmt: skip
"""What a kubelet says of its node; a node that it finds is brought up to date in these."""
KUBELET_DOMAINS: Final = ("kubelet.kubernetes.io", "node.kubernetes.io")
"""Below these a kubelet may set what it likes."""


def in_domain(domain: str, parent: str) -> bool:
    """Tell a domain, or one below it."""
    return domain == parent or domain.endswith(f".{parent}")


def is_kubelet_label(key: str) -> bool:
    """Say whether a label is a kubelet's to set: all but those that Kubernetes keeps for others."""
    domain = key.partition("/")[0] if "/" in key else ""
    if not (in_domain(domain, "kubernetes.io") or in_domain(domain, "k8s.io")):
        return True
    return key in KUBELET_LABELS or any(in_domain(domain, own) for own in KUBELET_DOMAINS)
