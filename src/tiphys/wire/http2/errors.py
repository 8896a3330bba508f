"""What can be wrong with a connection or a stream of HTTP/2, and the codes for it (RFC 9113, section 7)."""

from __future__ import annotations

from enum import IntEnum


class ErrorCode(IntEnum):
    """Why a stream or a connection ends."""

    NO_ERROR = 0x0
    PROTOCOL_ERROR = 0x1
    INTERNAL_ERROR = 0x2
    FLOW_CONTROL_ERROR = 0x3
    SETTINGS_TIMEOUT = 0x4
    STREAM_CLOSED = 0x5
    FRAME_SIZE_ERROR = 0x6
    REFUSED_STREAM = 0x7
    CANCEL = 0x8
    COMPRESSION_ERROR = 0x9
    CONNECT_ERROR = 0xA
    ENHANCE_YOUR_CALM = 0xB
    INADEQUATE_SECURITY = 0xC
    HTTP_1_1_REQUIRED = 0xD


class Http2Error(Exception):
    """What a peer did against the rules. The text is for its eyes too."""

    def __init__(self, code: ErrorCode, text: str) -> None:
        super().__init__(f"{code.name}: {text}")
        self.code = code
        self.text = text


class ConnectionFault(Http2Error):
    """Ends the connection: GOAWAY with its code."""


class StreamFault(Http2Error):
    """Ends one stream: RST_STREAM with its code."""

    def __init__(self, stream_id: int, code: ErrorCode, text: str) -> None:
        super().__init__(code, text)
        self.stream_id = stream_id
