"""One file per subresource that is more than a part of its object.

``SUBRESOURCES`` is the list: (group, plural, subresource) -> handler; ``("*", "*", name)`` serves every kind.
``status`` needs no entry: the verb handlers serve it.
"""

from __future__ import annotations

from tiphys.apiserver.endpoints.call import CallHandler
from tiphys.apiserver.subresources import (
    approval,
    binding,
    eviction,
    finalize,
    log,
    pod_parts,
    proxy,
    scale,
    streams,
    token,
)

SUBRESOURCES: dict[tuple[str, str, str], CallHandler] = {
    ("*", "*", "scale"): scale.handle,
    ("", "pods", "binding"): binding.handle,
    ("", "pods", "eviction"): eviction.handle,
    ("", "pods", "ephemeralcontainers"): pod_parts.handle_ephemeral_containers,
    ("", "pods", "resize"): pod_parts.handle_resize,
    ("", "pods", "log"): log.handle,
    ("", "pods", "exec"): streams.handle_exec,
    ("", "pods", "attach"): streams.handle_attach,
    ("", "pods", "portforward"): streams.handle_portforward,
    ("", "pods", "proxy"): proxy.handle,
    ("", "services", "proxy"): proxy.handle,
    ("", "nodes", "proxy"): proxy.handle,
    ("", "serviceaccounts", "token"): token.handle,
    ("", "namespaces", "finalize"): finalize.handle,
    ("certificates.k8s.io", "certificatesigningrequests", "approval"): approval.handle,
}

__all__ = ["SUBRESOURCES"]
