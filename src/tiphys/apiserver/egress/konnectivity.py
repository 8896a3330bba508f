"""Proxies that speak konnectivity's gRPC on a unix socket: packets of one stream for each connection.

    DIAL_REQ ->  <- DIAL_RSP      DATA both ways      CLOSE_REQ ->  <- CLOSE_RSP

Owns: that conversation and the words for its failures. gRPC is loaded when the first connection is made.
Source: ``konnectivity-client`` of sigs.k8s.io/apiserver-network-proxy.
"""

from __future__ import annotations

import asyncio
import os.path
import random
import socket
from functools import cache
from typing import Any, Final, cast

from tiphys.apimachinery.protobuf import Messages, build
from tiphys.apiserver.egress.counts import DialCounts
from tiphys.apiserver.egress.http_connect import joined
from tiphys.apiserver.egress.spans import Spans, pair
from tiphys.wire.dial import TunnelFailed
from tiphys.wire.relay import first_of
from tiphys.wire.upgrade import RawStream

METHOD: Final = "/ProxyService/Proxy"
TYPES: Final = ("DIAL_REQ", "DIAL_RSP", "CLOSE_REQ", "CLOSE_RSP", "DATA", "DIAL_CLS")
"""The types of packets by their numbers."""
DIAL_REQ, DIAL_RSP, CLOSE_REQ, CLOSE_RSP, DATA, DIAL_CLS = range(len(TYPES))
_PATIENCE_S: Final = 30.0
_CLOSE_S: Final = 10.0
_LAST_S: Final = 1.0
"""For a packet to arrive before the stream ends behind it."""
_FIELDS: Final[dict[str, dict[str, list[Any]]]] = {
    "konnectivity.Packet": {
        "type": [1, "int32"], "dialRequest": [2, "konnectivity.DialRequest"],
        "dialResponse": [3, "konnectivity.DialResponse"], "data": [4, "konnectivity.Data"],
        "closeRequest": [5, "konnectivity.CloseRequest"], "closeResponse": [6, "konnectivity.CloseResponse"],
        "closeDial": [7, "konnectivity.CloseDial"],
    },
    "konnectivity.DialRequest": {"protocol": [1, "string"], "address": [2, "string"], "random": [3, "int64"]},
    "konnectivity.DialResponse": {"error": [1, "string"], "connectID": [2, "int64"], "random": [3, "int64"]},
    "konnectivity.CloseRequest": {"connectID": [1, "int64"]},
    "konnectivity.CloseResponse": {"error": [1, "string"], "connectID": [2, "int64"]},
    "konnectivity.CloseDial": {"random": [1, "int64"]},
    "konnectivity.Data": {"connectID": [1, "int64"], "error": [2, "string"], "data": [3, "bytes"]},
}  # fmt: skip


@cache
def _messages() -> Messages:
    return build(_FIELDS, {})


def packet(kind: int, **payload: Any) -> Any:
    """Make a packet; the payload is one field, given as a mapping of its own fields."""
    made: Any = packet_class()(type=kind)
    for name, fields in payload.items():
        getattr(made, name).SetInParent()
        for key, value in fields.items():
            setattr(getattr(made, name), key, value)
    return made


def packet_class() -> Any:
    return _messages()["konnectivity.Packet"]


class GrpcProxy:
    """A proxy on a unix socket."""

    def __init__(self, path: str, spans: Spans, counts: DialCounts) -> None:
        self._path = path
        self._spans = spans
        self._counts = counts

    async def connect(self) -> _Tunnel:
        """Reach the proxy. Raises TunnelFailed."""
        import grpc
        import grpc.aio

        options = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0))
        channel: Any = grpc.aio.insecure_channel(f"unix:{self._path}", options=options)
        try:
            state = channel.get_state(try_to_connect=True)
            while state is not grpc.ChannelConnectivity.READY:
                if state is grpc.ChannelConnectivity.TRANSIENT_FAILURE:
                    raise TunnelFailed(f'connection error: desc = "{self._fault()}"')
                await channel.wait_for_state_change(state)
                state = channel.get_state()
            call = channel.stream_stream(
                METHOD,
                request_serializer=packet_class().SerializeToString,
                response_deserializer=packet_class().FromString,
            )()
        except BaseException:
            await channel.close()
            raise
        return _Tunnel(channel, call, self._counts)

    def _fault(self) -> str:
        why = "connection refused" if os.path.exists(self._path) else "no such file or directory"
        return f"transport: error while dialing: dial unix {self._path}: connect: {why}"

    async def lead_on(self, tunnel: _Tunnel, /, host: str, port: int) -> socket.socket:
        """Have the proxy connect to an address. Raises TunnelFailed; then the tunnel is closed."""
        try:
            await tunnel.dial(joined(host, port))
            near, far = await pair()
        except BaseException:
            self._spans.carry(tunnel.give_up())
            raise
        self._spans.carry(tunnel.carry(far))
        return near


class _Tunnel:
    """One stream of packets, for one connection."""

    def __init__(self, channel: Any, call: Any, counts: DialCounts) -> None:
        self._channel, self._call, self._counts = channel, call, counts
        self._id = self._number = 0
        self._dialing: asyncio.Task[Any] | None = None

    async def dial(self, address: str) -> None:
        """Raises TunnelFailed."""
        self._number = random.getrandbits(63)
        await self._send(
            DIAL_REQ, dialRequest={"protocol": "tcp", "address": address, "random": self._number}
        )
        # A read that is cancelled ends the stream, which is to carry one packet more.
        self._dialing = dialing = asyncio.create_task(self._dialed())  # parent: give_up
        try:
            done, _ = await asyncio.wait({dialing}, timeout=_PATIENCE_S)
        except asyncio.CancelledError:
            self._counts.refusals["context"] += 1
            raise
        if not done:
            raise self._refused("timeout", "dial timeout, backstop")
        answer = dialing.result()
        if answer.error:
            raise self._refused("endpoint", answer.error)
        self._id = answer.connectID

    async def give_up(self) -> None:
        """Tell the proxy that nobody waits for its answer any more, then end the stream."""
        dialing = self._dialing
        try:
            if dialing is not None and not dialing.done():
                await self._send(DIAL_CLS, closeDial={"random": self._number})
                await self._call.done_writing()
                await asyncio.wait({dialing}, timeout=_LAST_S)
        finally:
            if dialing is not None:
                dialing.cancel()
                await asyncio.gather(dialing, return_exceptions=True)
            await self.close()

    async def _dialed(self) -> Any:
        while (found := await self._next()) is not None:
            if found.type == DIAL_RSP and found.dialResponse.random == self._number:
                return found.dialResponse
            if found.type == DIAL_CLS:
                raise self._refused("dialclosed", "dial closed")
        raise self._refused("tunnelclosed", "tunnel closed")

    def _refused(self, reason: str, text: str) -> TunnelFailed:
        self._counts.refusals[reason] += 1
        return TunnelFailed(text)

    async def carry(self, stream: RawStream) -> None:
        """Pass bytes on both ways until either side ends."""
        try:
            await first_of(self._upwards(stream), self._downwards(stream))
        finally:
            await stream.close()
            await self.close()

    async def _upwards(self, stream: RawStream) -> None:
        while data := await stream.read():
            await self._send(DATA, data={"connectID": self._id, "data": data})
        await self._send(CLOSE_REQ, closeRequest={"connectID": self._id})
        await asyncio.sleep(_CLOSE_S)  # the answer to it ends this sooner

    async def _downwards(self, stream: RawStream) -> None:
        while (found := await self._next()) is not None:
            if found.type == DATA and found.data.connectID == self._id:
                try:
                    await stream.write(found.data.data)
                except ConnectionError:
                    continue  # nobody reads any more: what is left is the proxy's to close
            elif found.type == CLOSE_RSP and found.closeResponse.connectID == self._id:
                return

    async def _send(self, kind: int, **payload: Any) -> None:
        from grpc.aio import AioRpcError

        self._counts.packets["from_client", TYPES[kind]] += 1
        try:
            await self._call.write(packet(kind, **payload))
        except (AioRpcError, asyncio.InvalidStateError):
            return  # the stream has ended, which reading tells

    async def _next(self) -> Any:
        """Return the next packet, None where there will be no more."""
        import grpc.aio

        try:
            found = await self._call.read()
        except grpc.aio.AioRpcError:
            return None
        if found is cast(Any, grpc.aio).EOF:
            return None
        if found.type < len(TYPES):
            self._counts.packets["to_client", TYPES[found.type]] += 1
        return found

    async def close(self) -> None:
        """End the stream. Idempotent."""
        self._call.cancel()
        await self._channel.close()
