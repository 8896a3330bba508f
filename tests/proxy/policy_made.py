"""Pods and NetworkPolicies in few words."""


def make_pod(namespace, name, ip, node="n1", phase="Running", ports=(), **spec):
    container = {"name": "c", "ports": [{"name": known, "containerPort": port} for known, port in ports]}
    return {
        "metadata": {"namespace": namespace, "name": name, "labels": {"pod": name}},
        "spec": {"nodeName": node, "containers": [container], **spec},
        "status": {"phase": phase, "podIPs": [{"ip": ip}] if ip else []},
    }


def policy(name="p", namespace="x", pods=None, **spec):
    return {
        "metadata": {"namespace": namespace, "name": name},
        "spec": {"podSelector": {"matchLabels": {"pod": pods}} if pods else {}, **spec},
    }
