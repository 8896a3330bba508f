"""A runtime's streaming server: takes every stream, says one thing, and ends well."""

import asyncio
import struct
from contextlib import asynccontextmanager

from tiphys.wire.spdy import SYN_REPLY, SYN_STREAM, FrameReader, HeaderCodec, encode_control, encode_data

SWITCHED = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
    b"X-Stream-Protocol-Version: portforward.k8s.io\r\n\r\n"
)


class SpdyRuntime:
    """``url`` is where it listens; ``heads`` are the requests that came."""

    def __init__(self, answer=SWITCHED):
        self.url, self.heads = "", []
        self._answer = answer
        self._connections = []

    async def __call__(self, reader, writer):
        done = asyncio.get_running_loop().create_future()
        self._connections.append(done)
        self.heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(self._answer)
        if "/portforward/" in self.heads[-1]:
            writer.write(await reader.read(100))
        elif self._answer == SWITCHED:
            await self._command(reader, writer)
        writer.close()
        await writer.wait_closed()
        done.set_result(None)

    async def _command(self, reader, writer):
        frames, headers, kinds = FrameReader(), HeaderCodec(), {}
        while data := await reader.read(1000):
            for frame in frames.feed(data):
                if frame.type == SYN_STREAM:
                    kinds[headers.decode(frame.payload[10:])["streamtype"]] = frame.stream_id
                    reply = struct.pack(">I", frame.stream_id) + headers.encode({})
                    writer.write(encode_control(SYN_REPLY, 0, reply))
            if len(kinds) == 2:
                writer.write(encode_data(kinds.pop("stdout"), b"hello", fin=True))
                writer.write(encode_data(kinds.pop("error"), b'{"status":"Success"}', fin=True))

    @asynccontextmanager
    async def listening(self, path):
        listener = await asyncio.start_server(self, "127.0.0.1", 0)
        async with listener:
            self.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}{path}"
            yield self
            await asyncio.wait_for(asyncio.gather(*self._connections), 5)
