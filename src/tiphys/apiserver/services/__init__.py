"""What Services hold of finite ranges: cluster IPs and node ports, given out, given back and repaired.

``ServiceAllocator`` is the door; handlers put it around the validation and the write of a Service. An address
is held by an IPAddress object, node ports by one RangeAllocation record: both are in the store, so any
number of API servers share them.
"""

from tiphys.apiserver.services.allocator import ServiceAllocator

__all__ = ["ServiceAllocator"]
