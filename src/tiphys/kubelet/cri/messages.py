"""CRI v1 messages and methods, built from a table of facts when first used.

Owns: which classes and gRPC paths CRI has. Refuses: connections and calls. Called by the CRI client and
by tests that play the runtime.

    request = CRI.message("RunPodSandboxRequest")(runtime_handler="")
    method = CRI.method("RuntimeService", "RunPodSandbox")
    call = channel.unary_unary(method.path, method.serialize, method.deserialize)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from importlib import resources
from typing import Any

import orjson
from google.protobuf.message import Message

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.protobuf import Messages, build

PACKAGE = "runtime.v1"


@dataclass(frozen=True, slots=True)
class Method:
    """One gRPC method of a service."""

    path: str
    """``/runtime.v1.RuntimeService/Version``."""
    request: type[Message]
    response: type[Message]
    streams_response: bool

    @property
    def serialize(self) -> Callable[[Any], bytes]:
        """Turn a request into bytes."""
        return self.request.SerializeToString

    @property
    def deserialize(self) -> Callable[[bytes], Any]:
        """Read a response from bytes."""
        return self.response.FromString


class CriMessages:
    """Names without the ``runtime.v1.`` prefix; nothing is read or built before the first use."""

    @cached_property
    def _facts(self) -> dict[str, Any]:
        data = resources.files("tiphys.kubelet").joinpath("data/cri_v1.json").read_bytes()
        facts: dict[str, Any] = orjson.loads(data)
        return facts

    @cached_property
    def messages(self) -> Messages:
        """All classes by full name (``runtime.v1.PodSandboxConfig``)."""
        return build(self._facts["messages"], self._facts["enums"])

    @cached_property
    def services(self) -> Mapping[str, Mapping[str, Method]]:
        """Methods by service (``RuntimeService``) and method name."""
        table: dict[str, dict[str, Method]] = {}
        for service, methods in self._facts["services"].items():
            short = service.removeprefix(f"{PACKAGE}.")
            table[short] = {
                name: Method(
                    path=f"/{service}/{name}",
                    request=self.messages[request],
                    response=self.messages[response.removeprefix("stream ")],
                    streams_response=response.startswith("stream "),
                )
                for name, (request, response) in methods.items()
            }
        return table

    def message(self, name: str) -> Any:
        """Return a message class, typed loosely as its fields are known only at run time. Raises KeyError."""
        return self.messages[f"{PACKAGE}.{name}"]

    def method(self, service: str, name: str) -> Method:
        """Return one method. Raises KeyError."""
        return self.services[service][name]

    def value(self, enum: str, name: str) -> int:
        """Return the number of ``value("ContainerState", "CONTAINER_RUNNING")``. Raises KeyError."""
        return self.messages.enum(f"{PACKAGE}.{enum}")[name]


CRI = CriMessages()
