"""Names inside a pod: its hostname, resolver configuration and ``/etc/hosts``. Pure.

Source: "DNS for Services and Pods", "Adding entries to Pod /etc/hosts with HostAliases".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.meta import Object

_MAX_HOSTNAME = 63
_MAX_NAMESERVERS = 3
_MAX_SEARCHES = 32
_CLUSTER_OPTIONS = ("ndots:5",)

_HOSTS_HEAD = """\
# Kubernetes-managed hosts file.
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
fe00::0\tip6-mcastprefix
fe00::1\tip6-allnodes
fe00::2\tip6-allrouters
"""
_HOST_NETWORK_HEAD = "# Kubernetes-managed hosts file (host network).\n"


@dataclass(frozen=True, slots=True)
class ResolvConf:
    """A resolver's configuration: the node's own, or a pod's."""

    servers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[str, ...] = ()

    def to_cri(self) -> dict[str, list[str]]:
        """Return CRI's DNSConfig."""
        return {
            "servers": list(self.servers),
            "searches": list(self.searches),
            "options": list(self.options),
        }


def parse_resolv_conf(text: str) -> ResolvConf:
    """Read ``resolv.conf(5)``; of several ``search`` lines the last one counts."""
    servers: list[str] = []
    searches: list[str] = []
    options: list[str] = []
    for line in text.splitlines():
        words = line.split()
        if len(words) < 2 or words[0][0] in "#;":
            continue
        if words[0] == "nameserver":
            servers.append(words[1])
        elif words[0] == "search":
            searches = [word if word == "." else word.removesuffix(".") for word in words[1:]]
        elif words[0] == "options":
            options = words[1:]
    return ResolvConf(tuple(servers), tuple(searches), tuple(options))


def hostname(pod: Object, cluster_domain: str) -> tuple[str, str]:
    """Return the pod's hostname and, where it has a subdomain, the domain it lies in."""
    spec, meta = pod["spec"], pod["metadata"]
    if spec.get("hostnameOverride"):
        return str(spec["hostnameOverride"]), ""
    name = spec.get("hostname") or meta["name"]
    name = name[:_MAX_HOSTNAME].rstrip("-.")
    domain = ""
    if spec.get("subdomain"):
        domain = f"{spec['subdomain']}.{meta['namespace']}.svc.{cluster_domain}"
    return name, domain


def kernel_hostname(pod: Object, cluster_domain: str) -> str:
    """Return what ``hostname`` prints in the pod; empty on the host's network, which has its own."""
    if pod["spec"].get("hostNetwork"):
        return ""
    name, domain = hostname(pod, cluster_domain)
    return f"{name}.{domain}" if pod["spec"].get("setHostnameAsFQDN") and domain else name


def _unique(items: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(items))


def dns_config(pod: Object, node: ResolvConf, cluster_dns: Sequence[str], cluster_domain: str) -> ResolvConf:
    """Return the pod's resolver configuration by ``dnsPolicy`` and ``dnsConfig``."""
    spec = pod["spec"]
    policy = spec.get("dnsPolicy") or "ClusterFirst"
    if policy == "ClusterFirst" and spec.get("hostNetwork"):
        policy = "Default"
    if policy in ("ClusterFirst", "ClusterFirstWithHostNet") and cluster_dns:
        namespace = pod["metadata"]["namespace"]
        searches = (f"{namespace}.svc.{cluster_domain}", f"svc.{cluster_domain}", cluster_domain)
        result = ResolvConf(tuple(cluster_dns), _unique([*searches, *node.searches]), _CLUSTER_OPTIONS)
    elif policy == "None":
        result = ResolvConf()
    else:
        result = node
    extra = spec.get("dnsConfig") or {}
    return ResolvConf(
        _unique([*result.servers, *(extra.get("nameservers") or ())])[:_MAX_NAMESERVERS],
        _unique([*result.searches, *(extra.get("searches") or ())])[:_MAX_SEARCHES],
        _merge_options(result.options, extra.get("options") or ()),
    )


def _merge_options(given: Iterable[str], extra: Iterable[dict[str, Any]]) -> tuple[str, ...]:
    merged = {text.partition(":")[0]: text for text in given}
    for item in extra:
        value = item.get("value")
        merged[item["name"]] = f"{item['name']}:{value}" if value not in (None, "") else item["name"]
    return tuple(merged.values())


def hosts_file(pod: Object, ips: Sequence[str], cluster_domain: str, node_hosts: str = "") -> str:
    """Return ``/etc/hosts`` for the pod's containers."""
    if pod["spec"].get("hostNetwork"):
        text = _HOST_NETWORK_HEAD + node_hosts
    else:
        name, domain = hostname(pod, cluster_domain)
        names = f"{name}.{domain}\t{name}" if domain else name
        text = _HOSTS_HEAD + "".join(f"{ip}\t{names}\n" for ip in ips)
    aliases = pod["spec"].get("hostAliases") or ()
    if not aliases:
        return text
    lines = [f"{item['ip']}\t" + "\t".join(item.get("hostnames") or ()) + "\n" for item in aliases]
    return text + "\n# Entries added by HostAliases.\n" + "".join(lines)
