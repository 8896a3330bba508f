"""Links in what a proxied server answers, changed so that they lead through the proxy again. Pure.

A page that is shown under ``.../proxy/`` says ``href="/x"`` and means the server it comes from.

Source: the HTML standard's elements with URLs; RFC 9110 (Location).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import urlsplit, urlunsplit

from tiphys.apimachinery.dataclass import dataclass

_LINKS: dict[bytes, frozenset[bytes]] = {
    name.encode(): frozenset(attribute.encode() for attribute in attributes.split())
    for name, attributes in {
        "a": "href", "applet": "codebase", "area": "href", "audio": "src", "base": "href",
        "blockquote": "cite", "body": "background", "button": "formaction", "command": "icon", "del": "cite",
        "embed": "src", "form": "action", "frame": "longdesc src", "head": "profile", "html": "manifest",
        "iframe": "longdesc src", "img": "longdesc src usemap", "input": "src usemap formaction",
        "ins": "cite", "link": "href", "object": "classid codebase data usemap", "q": "cite", "script": "src",
        "source": "src", "video": "poster src",
    }.items()
}  # fmt: skip
_TAG = re.compile(rb"""<([a-zA-Z][a-zA-Z0-9]*)((?:[^>"']|"[^"]*"|'[^']*')*)>""")
_ATTRIBUTE = re.compile(rb"""(\s)([a-zA-Z-]+)(\s*=\s*)("[^"]*"|'[^']*'|[^\s>"']+)""")
_RAW = (b"script", b"style")
_LONGEST_TAG = 1 << 16


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a page is shown (``prefix``, without a slash at its end) and by which hosts it knows itself."""

    prefix: str
    hosts: frozenset[str]


def rewrite_url(url: str, origin: Origin) -> str:
    """Lead an absolute path, or a URL of the same host, through the proxy; leave all others alone."""
    parts = urlsplit(url)
    if (parts.netloc and parts.netloc not in origin.hosts) or not parts.path.startswith("/"):
        return url
    if parts.path.startswith(origin.prefix):
        path = parts.path
    else:
        path = f"{origin.prefix}/{parts.path.lstrip('/')}"
    return urlunsplit(("", "", path, parts.query, parts.fragment))


def _rewrite_tag(tag: re.Match[bytes], origin: Origin) -> bytes:
    wanted = _LINKS.get(tag[1].lower())
    if wanted is None:
        return tag[0]

    def attribute(found: re.Match[bytes]) -> bytes:
        if found[2].lower() not in wanted:
            return found[0]
        value = found[4]
        quote = value[:1] if value[:1] in (b'"', b"'") else b""
        inner = value[1:-1] if quote else value
        link = rewrite_url(inner.decode("utf-8", "surrogateescape"), origin)
        return found[1] + found[2] + found[3] + quote + link.encode("utf-8", "surrogateescape") + quote

    return b"<" + tag[1] + _ATTRIBUTE.sub(attribute, tag[2]) + b">"


class LinkRewriter:
    """Takes a page in pieces of any size; what it returns is the page, changed, up to the last whole tag."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._rest = b""
        self._raw = b""
        """Name of the element whose content is no HTML, while within it."""

    def feed(self, data: bytes) -> bytes:
        self._rest += data
        return b"".join(self._take(last=False))

    def close(self) -> bytes:
        """Return what was held back."""
        return b"".join(self._take(last=True))

    def _take(self, *, last: bool) -> Iterable[bytes]:
        while self._rest:
            if self._raw:
                end = re.search(rb"</" + self._raw, self._rest, re.IGNORECASE)
                if end is None:
                    keep = 0 if last else len(self._raw) + 2
                    yield self._give(len(self._rest) - keep)
                    return
                self._raw = b""
                yield self._give(end.start() + 2)
                continue
            start = self._rest.find(b"<")
            if start < 0:
                yield self._give(len(self._rest))
                return
            yield self._give(start)
            if not last and len(self._rest) < 4 and b"<!--".startswith(self._rest):
                return
            if self._rest.startswith(b"<!--"):
                end_at = self._rest.find(b"-->")
                if end_at < 0 and not last:
                    return
                yield self._give(end_at + 3 if end_at >= 0 else len(self._rest))
                continue
            tag = _TAG.match(self._rest)
            if tag is not None:
                name = tag[1].lower()
                self._rest = self._rest[tag.end() :]
                self._raw = name if name in _RAW else b""
                yield _rewrite_tag(tag, self._origin)
            elif last or self._rest[1:2].isspace() or len(self._rest) > _LONGEST_TAG or self._no_tag():
                yield self._give(1)
            else:
                return

    def _no_tag(self) -> bool:
        """Whether ``<`` starts something else than a tag with attributes (an end tag, plain text)."""
        return len(self._rest) > 1 and not self._rest[1:2].isalpha()

    def _give(self, count: int) -> bytes:
        count = max(count, 0)
        given, self._rest = self._rest[:count], self._rest[count:]
        return given
