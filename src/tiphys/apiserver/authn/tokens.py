"""What every kind of bearer token has in common, and the static ones of ``--token-auth-file``.

Owns: the protocol of a token authenticator and the outcome of asking one. The order in which they are asked
is ``authenticator``'s.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Protocol

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.families import Metric
from tiphys.apiserver.authn.user import User
from tiphys.apiserver.options import TokenEntry

Notes = tuple[tuple[str, str], ...]
"""Annotations of the audit log's event."""


class Refused(Exception):
    """A token that an authenticator knows as its own and does not let in; the text names no secret."""

    def __init__(self, text: str, annotations: Notes = ()) -> None:
        super().__init__(text)
        self.annotations = annotations


@dataclass(frozen=True, slots=True)
class Authenticated:
    """A user, the audiences under which the token was good, and what the audit log should know of it."""

    user: User
    audiences: tuple[str, ...] = ()
    annotations: Notes = ()
    lasting: bool = False
    """The token will always be this user's: nothing about it need be checked again."""
    until_s: float = math.inf
    """In seconds since 1970: from then on the token is good no longer, whatever is remembered of it."""
    warnings: tuple[str, ...] = ()
    """What its user is to be told with every answer."""


class TokenAuthenticator(Protocol):
    """Knows one kind of token."""

    async def authenticate_token(self, token: str, audiences: tuple[str, ...]) -> Authenticated | None:
        """Return whom a token names for one of these audiences; None when it is none of this kind.

        Raises:
            Refused: it is of this kind, and wrong.
        """
        ...

    async def close(self) -> None: ...

    async def run(self) -> None:
        """Learn from the start on what takes time to be known; return when all is."""
        ...

    async def reload(self) -> object:
        """Take over what has changed in a file of its own. Raises nothing."""
        ...

    def collect(self) -> Iterable[Metric]:
        """Return what it counts."""
        ...


class AnyAudience:
    """Tokens that name no audience are good for this API server's own, and for no other."""

    def __init__(self, inner: TokenAuthenticator, api_audiences: tuple[str, ...]) -> None:
        self._inner = inner
        self._own = api_audiences

    async def authenticate_token(self, token: str, audiences: tuple[str, ...]) -> Authenticated | None:
        own = self._own
        common = own if audiences == own else tuple(audience for audience in audiences if audience in own)
        if not common:
            return None
        found = await self._inner.authenticate_token(token, audiences)
        if found is None:
            return None
        return replace(found, audiences=common)

    async def close(self) -> None:
        await self._inner.close()

    async def run(self) -> None:
        await self._inner.run()

    async def reload(self) -> object:
        return await self._inner.reload()

    def collect(self) -> Iterable[Metric]:
        return self._inner.collect()


class StaticTokens:
    """The lines of a token file."""

    def __init__(self, entries: Sequence[TokenEntry]) -> None:
        self._known = {
            entry.token: Authenticated(
                User(entry.user, entry.uid, entry.groups).authenticated(), lasting=True
            )
            for entry in entries
        }

    async def authenticate_token(self, token: str, audiences: tuple[str, ...]) -> Authenticated | None:
        return self._known.get(token)

    async def close(self) -> None:
        return

    async def run(self) -> None:
        return

    async def reload(self) -> None:
        return

    def collect(self) -> Iterable[Metric]:
        return ()
