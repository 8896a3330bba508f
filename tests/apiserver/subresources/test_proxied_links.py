"""Links of proxied pages."""

from __future__ import annotations

import pytest

from tiphys.apiserver.subresources.proxied_links import LinkRewriter, Origin, rewrite_url

P = "/api/v1/namespaces/d/pods/p/proxy"
ORIGIN = Origin(P, frozenset({"10.0.0.1:80", "api.example"}))
URLS = {
    "path": ("/x?y=1#z", f"{P}/x?y=1#z"),
    "root": ("/", f"{P}/"),
    "path with a slash at its end": ("/x/", f"{P}/x/"),
    "same host": ("http://10.0.0.1:80/x", f"{P}/x"),
    "host of the request": ("https://api.example/x", f"{P}/x"),
    "other host": ("http://example.com/x", "http://example.com/x"),
    "relative": ("x/y", "x/y"),
    "fragment": ("#x", "#x"),
    "no URL": ("http://[x", "http://[x"),
    "no host": ("http://a\u2100.b/x", "http://a\u2100.b/x"),
    "led through already": (f"{P}/x", f"{P}/x"),
}


@pytest.mark.parametrize(("url", "expected"), URLS.values(), ids=URLS)
def test_urls(url: str, expected: str) -> None:
    assert rewrite_url(url, ORIGIN) == expected


PAGES = {
    "link": ('<a href="/rewriteme">test</a>', f'<a href="{P}/rewriteme">test</a>'),
    "single quotes and none": ("<img src='/a'><img SRC=/b>", f"<img src='{P}/a'><img SRC={P}/b>"),
    "attributes without links": ('<a title="/x" href="y">', '<a title="/x" href="y">'),
    "elements without links": ('<div href="/x">', '<div href="/x">'),
    "greater in an attribute": ('<a title=">" href="/x">', f'<a title=">" href="{P}/x">'),
    "script": (
        '<script src="/s.js">if (a<b) x=\'<a href="/n">\'</script><a href="/y">',
        f'<script src="{P}/s.js">if (a<b) x=\'<a href="/n">\'</script><a href="{P}/y">',
    ),
    "comment": ('<!-- <a href="/x"> --><a href="/y">', f'<!-- <a href="/x"> --><a href="{P}/y">'),
    "text": ("1 < 2 <b>&lt;</b> é", "1 < 2 <b>&lt;</b> é"),
    "no URL": ('<a href="http://[x"></a><a href="/y">', f'<a href="http://[x"></a><a href="{P}/y">'),
    "comment without an end": ('<!-- <a href="/x">', '<!-- <a href="/x">'),
    "quote without an end": ('<a title=\'x><a href="/x">', '<a title=\'x><a href="/x">'),
    "empty comment": ('<!--><a href="/y">', f'<!--><a href="{P}/y">'),
    "script in large letters": (
        '<SCRIPT>"<a href=/n>"</SCRIPT><a href=/y>',
        f'<SCRIPT>"<a href=/n>"</SCRIPT><a href={P}/y>',
    ),
    "cut off": ('<p>x</p><a href="/x', '<p>x</p><a href="/x'),
    "doctype": ("<!DOCTYPE html><html><body></body></html>", "<!DOCTYPE html><html><body></body></html>"),
}


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize(("page", "expected"), PAGES.values(), ids=PAGES)
def test_pages_in_pieces(page: str, expected: str, size: int) -> None:
    links, data = LinkRewriter(ORIGIN), page.encode()
    pieces = [links.feed(data[at : at + size]) for at in range(0, len(data), size)]
    assert b"".join([*pieces, links.close()]).decode() == expected


HELD_BACK = {
    "tags that never end": b"<a",
    "a tag that never ends": b"a ",
    "a quote that never ends": b"\"<a b='",
    "a comment that never ends": b"<!-- -",
    "a script that never ends": b"<script><",
}


@pytest.mark.parametrize("part", HELD_BACK.values(), ids=HELD_BACK)
def test_nothing_is_looked_at_again_and_again(part: bytes) -> None:
    """Or a page of a few hundred kilobytes would hold the server up for minutes."""
    links = LinkRewriter(ORIGIN)
    page = b"<a " + part * (400_000 // len(part))
    given = b"".join(links.feed(page[at : at + 65536]) for at in range(0, len(page), 65536))
    assert len(page) - len(given) <= 2 * 65536
    assert given + links.close() == page
