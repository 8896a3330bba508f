"""Many TLS records in one call of the kernel, while a large answer is written.

OpenSSL gives the kernel each record of 16 KB by itself, 135 calls for a page of 2 MB. For the time of a
large answer a buffer stands between it and the socket (OpenSSL's own, ``BIO_f_buffer``): nine calls. What the
kernel does for each, here and where the peer reads, is done less often. Idle connections have no buffer.

Owns: those buffers and how they come into a connection and out of it. Refuses Python builds whose objects are
not known, as ``wire.openssl`` does: ``lend`` returns None, and records go one by one. Called by ``wire.tls``.

The inner object of an ``SSLSocket`` begins with references to the socket, OpenSSL's connection and the
context, in every CPython so far; that the context is there is seen each time before anything is touched.
"""

from __future__ import annotations

import _ssl
import ctypes
import functools
import ssl
from typing import Any, Final, cast

from tiphys.wire import openssl

BUFFER_BYTES: Final = 256 * 1024
"""What is collected for one call: about what a core's own cache holds beside the rest."""
MAX_LENT: Final = 16
"""So many connections have a buffer at once; clients that do not read could otherwise hold much memory."""
_KEPT: Final = 2
_POINTER: Final = ctypes.c_void_p
_INNER: Final = cast(Any, _ssl)._SSLSocket
_SET_BUFFER_SIZE, _FLUSH, _WRITE_PENDING = 117, 11, 13
_OF_WRITES: Final = 1
_RETRY: Final = 0x08
_PROTOTYPES: Final[openssl.Prototypes] = {
    "BIO_f_buffer": (_POINTER, ()),
    "BIO_new": (_POINTER, (_POINTER,)),
    "BIO_free": (ctypes.c_int, (_POINTER,)),
    "BIO_up_ref": (ctypes.c_int, (_POINTER,)),
    "BIO_push": (_POINTER, (_POINTER, _POINTER)),
    "BIO_pop": (_POINTER, (_POINTER,)),
    "BIO_ctrl": (ctypes.c_long, (_POINTER, ctypes.c_int, ctypes.c_long, _POINTER)),
    "BIO_int_ctrl": (ctypes.c_long, (_POINTER, ctypes.c_int, ctypes.c_long, ctypes.c_int)),
    "BIO_test_flags": (ctypes.c_int, (_POINTER, ctypes.c_int)),
    "SSL_get_SSL_CTX": (_POINTER, (_POINTER,)),
    "SSL_get_wbio": (_POINTER, (_POINTER,)),
    "SSL_set0_wbio": (None, (_POINTER, _POINTER)),
}


class Buffer:
    """A buffer that is in a connection, until ``leave``. One thread at a time, as with the connection."""

    __slots__ = ("_bio", "_connection", "_library", "_session")

    def __init__(self, library: Any, session: Any, connection: int, bio: int) -> None:
        self._library = library
        self._session = session  # while it lives, so does the connection
        self._connection = connection
        self._bio = bio
        socket = library.SSL_get_wbio(connection)
        library.BIO_up_ref(socket)  # the chain's own reference: the connection gives up the one it has
        library.BIO_up_ref(bio)  # ours
        library.SSL_set0_wbio(connection, library.BIO_push(bio, socket))

    def pending(self) -> int:
        """Return how many bytes the kernel has not taken."""
        return int(self._library.BIO_ctrl(self._bio, _WRITE_PENDING, 0, None))

    def flush(self) -> None:
        """Give the kernel what is collected. Raises SSLWantWriteError, ConnectionError."""
        if self._library.BIO_ctrl(self._bio, _FLUSH, 0, None) <= 0:
            if self._library.BIO_test_flags(self._bio, _RETRY):
                raise ssl.SSLWantWriteError
            raise ConnectionResetError("the peer has gone")

    def leave(self) -> None:
        """Write to the socket directly again. What is still in here is lost. Only once."""
        library, bio = self._library, self._bio
        empty = self.pending() == 0
        library.SSL_set0_wbio(self._connection, library.BIO_pop(bio))
        _lent.remove(bio)
        if empty and len(_free) < _KEPT:
            _free.append(bio)
        else:
            library.BIO_free(bio)


_lent: set[int] = set()
_free: list[int] = []


def lend(session: Any) -> Buffer | None:
    """Put a buffer into a connection (``SSLSocket._sslobj``); None: there is none to be had."""
    library = _library()
    if library is None or len(_lent) >= MAX_LENT or type(session) is not _INNER:
        return None
    head = object.__basicsize__
    _, connection, context = (_POINTER * 3).from_address(id(session) + head)
    if context != id(session.context) or not connection:
        return None
    if library.SSL_get_SSL_CTX(connection) != openssl.address_of(session.context):
        return None
    bio = _free.pop() if _free else _new(library)
    if not bio:
        return None
    _lent.add(bio)
    return Buffer(library, session, connection, bio)


def _new(library: Any) -> int:
    bio: int | None = library.BIO_new(library.BIO_f_buffer())
    if bio and library.BIO_int_ctrl(bio, _SET_BUFFER_SIZE, BUFFER_BYTES, _OF_WRITES) == 1:
        return bio
    library.BIO_free(bio)
    return 0


@functools.cache
def _library() -> Any:
    return openssl.functions(_PROTOTYPES)
