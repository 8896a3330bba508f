"""Who a component says that it is, in the form of client-go: the word before the slash is its field manager.

Source: client-go's ``rest.DefaultKubernetesUserAgent``.
"""

from __future__ import annotations

from tiphys.apimachinery.release import PLATFORM, RELEASE


def user_agent(component: str) -> str:
    """Return ``kube-scheduler/v1.36.0 (linux/amd64) tiphys``."""
    return f"{component}/{RELEASE} ({PLATFORM}) tiphys"
