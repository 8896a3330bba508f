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
_TAG = re.compile(rb"<([a-zA-Z][a-zA-Z0-9]*)(.*)>", re.DOTALL)
_MARK = re.compile(rb"""[>"']""")
"""What ends a tag, or begins a value in which nothing does."""
_ATTRIBUTE = re.compile(rb"""(\s)([a-zA-Z-]+)(\s*=\s*)("[^"]*"|'[^']*'|[^\s>"']+)""")
_COMMENT_END = re.compile(rb"-->")
_RAW = {name: re.compile(rb"</" + name, re.IGNORECASE) for name in (b"script", b"style")}
_KEPT = len(b"</script") - 1
"""How much of what ends such a part may lie in the piece before."""
_LONGEST_TAG = 1 << 16


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a page is shown (``prefix``, without a slash at its end) and by which hosts it knows itself."""

    prefix: str
    hosts: frozenset[str]


def rewrite_url(url: str, origin: Origin) -> str:
    """Lead an absolute path, or a URL of the same host, through the proxy; leave all others alone."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return url  # no URL at all
    if (parts.netloc and parts.netloc not in origin.hosts) or not parts.path.startswith("/"):
        return url
    if parts.path.startswith(origin.prefix):
        path = parts.path
    else:
        path = f"{origin.prefix}/{parts.path.lstrip('/')}"
    return urlunsplit(("", "", path, parts.query, parts.fragment))


def _rewrite_tag(tag: re.Match[bytes], origin: Origin) -> bytes:
    wanted = _LINKS.get(tag[1].lower())
    if wanted is None or b"/" not in tag[2]:
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
    """Takes a page in pieces of any size; what it returns is the page, changed, up to the last whole tag.

    It looks at no byte again and again, whatever the page: others' pages must not hold the server up.
    """

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._rest = b""
        """What was held back: the beginning of a tag."""
        self._seen = 0
        """How much of ``rest`` has no end of that tag."""
        self._quote = b""
        """The quote that is open in that tag, there."""
        self._until: re.Pattern[bytes] | None = None
        """What ends the part that is no HTML, while within it."""

    def feed(self, data: bytes) -> bytes:
        return b"".join(self._take(self._rest + data if self._rest else data, last=False))

    def close(self) -> bytes:
        """Return what was held back."""
        return b"".join(self._take(self._rest, last=True))

    def _take(self, data: bytes, *, last: bool) -> Iterable[bytes]:
        at, self._rest = 0, b""
        while at < len(data):
            if self._until is not None:
                end = self._until.search(data, at)
                stop = end.end() if end is not None else len(data) if last else max(at, len(data) - _KEPT)
                yield data[at:stop]
                if end is None:
                    self._rest = data[stop:]
                    return
                at, self._until = stop, None
                continue
            start = data.find(b"<", at)
            yield data[at:start] if start >= 0 else data[at:]
            if start < 0:
                return
            at = start
            if data.startswith(b"<!--", at):
                yield b"<!"
                at, self._until = at + 2, _COMMENT_END
            elif not last and b"<!--".startswith(data[at : at + 4]):
                self._rest = data[at:]
                return
            elif not data[at + 1 : at + 2].isalpha():  # an end tag, plain text
                yield b"<"
                at += 1
            elif end_at := self._tag_end(data, at):
                yield self._tag(data[at:end_at])
                at = end_at
            elif last or len(data) - at > _LONGEST_TAG:
                yield data[at:]
                self._seen, self._quote = 0, b""
                return
            else:
                self._rest = data[at:]
                return

    def _tag_end(self, data: bytes, start: int) -> int:
        """Return where the tag that begins at ``start`` ends, 0 while that is not there."""
        at = start + self._seen
        while True:
            if self._quote:
                closed = data.find(self._quote, at)
                if closed < 0:
                    break
                at, self._quote = closed + 1, b""
            found = _MARK.search(data, at)
            if found is None:
                break
            at = found.end()
            if found[0] == b">":
                self._seen = 0
                return at
            self._quote = found[0]
        self._seen = len(data) - start
        return 0

    def _tag(self, text: bytes) -> bytes:
        """Return a whole tag with its links changed."""
        tag = _TAG.fullmatch(text)
        if tag is None:
            return text
        self._until = _RAW.get(tag[1].lower())
        return _rewrite_tag(tag, self._origin)
