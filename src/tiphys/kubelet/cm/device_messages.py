"""The messages and methods of the device plugin API (v1beta1), as data. Built when first used."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from tiphys.apimachinery.protobuf import Messages, build

_P: Final = "v1beta1"
REGISTRATION: Final = f"{_P}.Registration"
PLUGIN: Final = f"{_P}.DevicePlugin"
_MESSAGES: Final[dict[str, Any]] = {
    f"{_P}.DevicePluginOptions": {
        "pre_start_required": [1, "bool"],
        "get_preferred_allocation_available": [2, "bool"],
    },
    f"{_P}.RegisterRequest": {
        "version": [1, "string"],
        "endpoint": [2, "string"],
        "resource_name": [3, "string"],
        "options": [4, f"{_P}.DevicePluginOptions"],
    },
    f"{_P}.Empty": {},
    f"{_P}.ListAndWatchResponse": {"devices": [1, f"repeated {_P}.Device"]},
    f"{_P}.Device": {"ID": [1, "string"], "health": [2, "string"]},
    f"{_P}.PreStartContainerRequest": {"devices_ids": [1, "repeated string"]},
    f"{_P}.PreStartContainerResponse": {},
    f"{_P}.AllocateRequest": {"container_requests": [1, f"repeated {_P}.ContainerAllocateRequest"]},
    f"{_P}.ContainerAllocateRequest": {"devices_ids": [1, "repeated string"]},
    f"{_P}.CDIDevice": {"name": [1, "string"]},
    f"{_P}.AllocateResponse": {"container_responses": [1, f"repeated {_P}.ContainerAllocateResponse"]},
    f"{_P}.ContainerAllocateResponse": {
        "envs": [1, "map<string,string>"],
        "mounts": [2, f"repeated {_P}.Mount"],
        "devices": [3, f"repeated {_P}.DeviceSpec"],
        "annotations": [4, "map<string,string>"],
        "cdi_devices": [5, f"repeated {_P}.CDIDevice"],
    },
    f"{_P}.Mount": {
        "container_path": [1, "string"],
        "host_path": [2, "string"],
        "read_only": [3, "bool"],
    },
    f"{_P}.DeviceSpec": {
        "container_path": [1, "string"],
        "host_path": [2, "string"],
        "permissions": [3, "string"],
    },
}


@cache
def messages() -> Messages:
    """Return all classes by full name."""
    return build(_MESSAGES, {})


def message(name: str) -> Any:
    """Return a message class by its short name. Raises KeyError."""
    return messages()[f"{_P}.{name}"]
