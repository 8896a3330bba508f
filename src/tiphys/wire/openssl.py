"""What of OpenSSL Python's ``ssl`` does not offer, asked of the library that ``ssl`` itself is linked to.

Owns: three things about a server's context. That a handshake accepts any client certificate, or none: who
it stands for is found out by ``client_certificates``, and a request can then be answered 401. In which
order the server prefers ciphers. And by which groups keys are agreed on. Refuses Python builds that it does
not know: there each function says False and changes nothing, and the log says so once. Called by ``pki``.

``ssl.SSLContext`` begins with an object's head and then OpenSSL's own context, in every CPython so far.
"""

from __future__ import annotations

import _ssl
import ctypes
import functools
import logging
import ssl
import sys
from collections.abc import Iterable
from typing import Any, Final

log = logging.getLogger(__name__)
KNOWN: Final = ((3, 11), (3, 14))
"""The first and the last version of CPython whose contexts are known to begin so."""
_PRIORITIZE_CHACHA: Final = 0x00200000
"""Of the server's options: who likes ChaCha20 best gets it, as it has no hardware for AES."""
_SET_GROUPS: Final = 92
"""What ``SSL_CTX_set1_groups_list`` is called inside."""
_MAX_NAMES_BYTES: Final = 32 * 1024
"""What is told of authorities shares one message of 64 KiB with nothing else."""
_VERIFY: Final = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
_POINTER: Final = ctypes.c_void_p
Prototypes = dict[str, tuple[Any, tuple[Any, ...]]]
"""Results and arguments by name."""
_PROTOTYPES: Final[Prototypes] = {
    "OpenSSL_version_num": (ctypes.c_ulong, ()),
    "SSL_CTX_ctrl": (ctypes.c_long, (_POINTER, ctypes.c_int, ctypes.c_long, ctypes.c_char_p)),
    "SSL_CTX_get_options": (ctypes.c_uint64, (_POINTER,)),
    "SSL_CTX_set_cert_verify_callback": (None, (_POINTER, _VERIFY, _POINTER)),
    "SSL_CTX_set_ciphersuites": (ctypes.c_int, (_POINTER, ctypes.c_char_p)),
    "SSL_CTX_set_client_CA_list": (None, (_POINTER, _POINTER)),
    "SSL_CTX_add_client_CA": (ctypes.c_int, (_POINTER, _POINTER)),
    "d2i_X509": (_POINTER, (_POINTER, ctypes.POINTER(ctypes.c_char_p), ctypes.c_long)),
    "X509_free": (None, (_POINTER,)),
}


def _yes(_store: int, _argument: int) -> int:
    return 1


_ACCEPT: Final = _VERIFY(_yes)


def accept_any_certificate(context: ssl.SSLContext, authorities: Iterable[bytes]) -> bool:
    """Ask clients for a certificate and take whatever they show, even nothing; tell whether that can be done.

    ``authorities`` (DER) are named to clients, which may have several certificates.
    """
    library = _library()
    if library is None:
        return False
    inner = address_of(context)
    context.verify_mode = ssl.CERT_OPTIONAL
    library.SSL_CTX_set_cert_verify_callback(inner, _ACCEPT, None)
    library.SSL_CTX_set_client_CA_list(inner, None)
    ders = list(dict.fromkeys(authorities))
    if sum(map(len, ders)) > _MAX_NAMES_BYTES:
        return True
    for der in ders:
        start = ctypes.c_char_p(der)
        certificate = library.d2i_X509(None, ctypes.byref(start), len(der))
        if certificate:
            library.SSL_CTX_add_client_CA(inner, certificate)
            library.X509_free(certificate)
    return True


def prefer_suites(context: ssl.SSLContext, suites: Iterable[str]) -> bool:
    """Prefer these ciphers of TLS 1.3 in this order whatever the client does; tell if it can be done."""
    library = _library()
    if library is None:
        return False
    if library.SSL_CTX_set_ciphersuites(address_of(context), ":".join(suites).encode()) != 1:
        return False
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE | _PRIORITIZE_CHACHA
    return True


def agree_by(context: ssl.SSLContext, groups: Iterable[str]) -> bool:
    """Agree on keys by these groups alone, as far as OpenSSL has them; tell whether that can be done."""
    library = _library()
    if library is None:
        return False
    scratch = address_of(other := ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    known = [name for name in groups if library.SSL_CTX_ctrl(scratch, _SET_GROUPS, 0, name.encode()) == 1]
    del other
    return bool(library.SSL_CTX_ctrl(address_of(context), _SET_GROUPS, 0, ":".join(known).encode()) == 1)


def functions(prototypes: Prototypes) -> Any:
    """Return more of OpenSSL's functions; None: they cannot be reached safely. Raises AttributeError."""
    return None if _library() is None else _functions(prototypes)


def address_of(context: ssl.SSLContext) -> int:
    """Return the address of OpenSSL's own context."""
    return ctypes.c_void_p.from_address(id(context) + object.__basicsize__).value or 0


@functools.cache
def _library() -> Any:
    """Return OpenSSL's functions, or None where they cannot be reached safely."""
    try:
        library = _functions(_PROTOTYPES)
        _check(library)
    except (OSError, AttributeError, RuntimeError) as error:
        log.warning(
            "OpenSSL is not reached: handshakes refuse certificates of unknown authorities, "
            "clients choose the cipher, large answers take longer why=%s",
            error,
        )
        return None
    return library


def _functions(prototypes: Prototypes) -> Any:
    """Look functions up where ``_ssl`` has its own. Raises OSError, AttributeError, RuntimeError."""
    if sys.implementation.name != "cpython" or not KNOWN[0] <= sys.version_info[:2] <= KNOWN[1]:
        raise RuntimeError(f"{sys.implementation.name} {sys.version.split()[0]} is not known")
    library = ctypes.CDLL(_ssl.__file__)  # a name is looked up in what it is linked to as well
    for name, (result, arguments) in prototypes.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


def _check(library: Any) -> None:
    """Raises RuntimeError where this is another OpenSSL, or a context is laid out in another way."""
    if library.OpenSSL_version_num() != ssl.OPENSSL_VERSION_NUMBER:
        raise RuntimeError("its functions are those of another OpenSSL")
    if _ssl._SSLContext.__basicsize__ < object.__basicsize__ + ctypes.sizeof(_POINTER):
        raise RuntimeError("a context has no room for OpenSSL's")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    for option in (0, ssl.OP_NO_TICKET, ssl.OP_NO_COMPRESSION):
        context.options ^= option
        if library.SSL_CTX_get_options(address_of(context)) != context.options:
            raise RuntimeError("a context does not begin with OpenSSL's")
