from __future__ import annotations

import pytest

from tiphys.kubelet.cri.messages import CRI


def test_request_round_trips() -> None:
    request = CRI.message("RunPodSandboxRequest")(
        config={
            "metadata": {"name": "web", "uid": "u", "namespace": "default", "attempt": 1},
            "labels": {"app": "web"},
            "port_mappings": [{"container_port": 80, "protocol": CRI.value("Protocol", "UDP")}],
            "linux": {
                "security_context": {"namespace_options": {"network": CRI.value("NamespaceMode", "NODE")}}
            },
        },
        runtime_handler="runc",
    )
    assert CRI.message("RunPodSandboxRequest").FromString(request.SerializeToString()) == request


def test_every_message_can_be_made() -> None:
    for name in CRI.messages:
        assert CRI.messages[name]().SerializeToString() == b""


@pytest.mark.parametrize(
    ("service", "method", "path", "streams"),
    [
        ("RuntimeService", "Version", "/runtime.v1.RuntimeService/Version", False),
        ("ImageService", "PullImage", "/runtime.v1.ImageService/PullImage", False),
        ("RuntimeService", "GetContainerEvents", "/runtime.v1.RuntimeService/GetContainerEvents", True),
    ],
)
def test_methods(service: str, method: str, path: str, streams: bool) -> None:
    found = CRI.method(service, method)
    assert found.path == path
    assert found.streams_response is streams
    assert found.serialize(found.request()) == b""
    assert isinstance(found.deserialize(b""), found.response)


def test_enum_names() -> None:
    assert CRI.value("ContainerState", "CONTAINER_EXITED") == 2


def test_unknown_names() -> None:
    with pytest.raises(KeyError):
        CRI.message("Nothing")
    with pytest.raises(KeyError):
        CRI.method("RuntimeService", "Nothing")
