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
    "cut off": ('<p>x</p><a href="/x', '<p>x</p><a href="/x'),
    "doctype": ("<!DOCTYPE html><html><body></body></html>", "<!DOCTYPE html><html><body></body></html>"),
}


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize(("page", "expected"), PAGES.values(), ids=PAGES)
def test_pages_in_pieces(page: str, expected: str, size: int) -> None:
    links, data = LinkRewriter(ORIGIN), page.encode()
    pieces = [links.feed(data[at : at + size]) for at in range(0, len(data), size)]
    assert b"".join([*pieces, links.close()]).decode() == expected
