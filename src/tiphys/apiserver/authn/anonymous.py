"""Who shows no credentials: everybody's user, everywhere, on some paths, or nowhere."""

from __future__ import annotations

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apiserver.authn.user import ANONYMOUS_USER, User


@dataclass(frozen=True, slots=True)
class Anonymous:
    """``paths`` None: on every path."""

    enabled: bool = True
    paths: frozenset[str] | None = None

    def user_for(self, path: str) -> User | None:
        """Return the anonymous user where it may come, None where credentials are needed."""
        if not self.enabled or (self.paths is not None and path not in self.paths):
            return None
        return ANONYMOUS_USER
