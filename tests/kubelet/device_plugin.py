"""A device plugin with devices that exist on paper, for tests."""

import asyncio

import grpc
import grpc.aio

from tiphys.kubelet.cm.device_messages import PLUGIN, REGISTRATION, message

GPU = "example.com/gpu"


class Plugin:
    """Serves ListAndWatch, Allocate and PreStartContainer at ``plugin.sock``."""

    def __init__(self, folder, host_path="/dev/g0"):
        self.folder = folder
        self.host_path = host_path
        self.devices = asyncio.Queue()
        self.mounts = [{"container_path": "/lib/gpu", "host_path": "/opt/gpu", "read_only": True}]
        self.cdi = [{"name": "example.com/gpu=0"}]
        self.calls = []
        self.fail = False
        self.server = None

    async def start(self):
        self.server = grpc.aio.server()
        handlers = {
            "ListAndWatch": self._handler(self._list, "Empty", "ListAndWatchResponse", stream=True),
            "Allocate": self._handler(self._allocate, "AllocateRequest", "AllocateResponse"),
            "PreStartContainer": self._handler(
                self._pre_start, "PreStartContainerRequest", "PreStartContainerResponse"
            ),
        }
        self.server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(PLUGIN, handlers),))
        self.server.add_insecure_port(f"unix:{self.folder / 'plugin.sock'}")
        await self.server.start()

    @staticmethod
    def _handler(function, request, response, *, stream=False):
        make = grpc.unary_stream_rpc_method_handler if stream else grpc.unary_unary_rpc_method_handler
        return make(
            function,
            request_deserializer=message(request).FromString,
            response_serializer=message(response).SerializeToString,
        )

    async def _list(self, request, context):
        while True:
            devices = await self.devices.get()
            listed = [{"ID": key, "health": health} for key, health in devices.items()]
            yield message("ListAndWatchResponse")(devices=listed)

    async def _allocate(self, request, context):
        ids = list(request.container_requests[0].devices_ids)
        self.calls.append(("Allocate", ids))
        if self.fail:
            await context.abort(grpc.StatusCode.INTERNAL, "no driver")
        one = {
            "envs": {"GPUS": ",".join(ids)},
            "devices": [{"container_path": "/dev/g", "host_path": self.host_path, "permissions": "rw"}],
            "mounts": self.mounts,
            "annotations": {"gpu": "yes"},
            "cdi_devices": self.cdi,
        }
        return message("AllocateResponse")(container_responses=[one])

    async def _pre_start(self, request, context):
        self.calls.append(("PreStartContainer", list(request.devices_ids)))
        return message("PreStartContainerResponse")()

    async def register(self, name=GPU, version="v1beta1", **options):
        async with grpc.aio.insecure_channel(
            f"unix:{self.folder / 'kubelet.sock'}", options=[("grpc.default_authority", "localhost")]
        ) as channel:
            call = channel.unary_unary(
                f"/{REGISTRATION}/Register",
                request_serializer=message("RegisterRequest").SerializeToString,
                response_deserializer=message("Empty").FromString,
            )
            fields = {"version": version, "endpoint": "plugin.sock", "resource_name": name}
            await call(message("RegisterRequest")(**fields, options=options))
