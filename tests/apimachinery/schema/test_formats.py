"""Texts that have a format and texts that have not, as the API judges them."""

# ruff: noqa: E501

from __future__ import annotations

import pytest

from tiphys.apimachinery.schema import formats

LONG = "a" * 64
GOOD: dict[str, tuple[str, ...]] = {
    "uri": ("http://somewhere.com", "http://a/b", "/a"),
    "email": ("blah@gmail.com",),
    "hostname": (
        "somewhere.com", "888.com", "a.b.c.com", "1.2.3.4.com", "99.99.domain.com", "xn--bcher-kva.example.com",
        "xn-80ak6aa92e.co", "☁→❄→☃.ws", "www.example.ôlà", "ôlà.ôlà", "ex$ample", "localhost", "x", "x-y",
        "a.b.c.dot", "ex=ample.com", "<foo>", "www.example-hyphenated.org", "www.詹姆斯.london",
    ),
    "ipv4": ("127.0.0.1", "192.168.1.01", "::ffff:1.2.3.4"),
    "ipv6": ("::1", "::ffff:1.2.3.4"),
    "cidr": ("192.0.2.1/24", "192.0.02.1/24", "2001:db8:a0b:12f0::1/32", "10.0.0.0/08"),
    "mac": ("01:02:03:04:05:06", "01-02-03-04-05-06-07-08", "0102.0304.0506"),
    "uuid": ("123e4567-e89b-12d3-a456-426614174000", "123E4567E89B12D3A456426614174000"),
    "uuid3": ("5df41881-3aed-3515-88a7-2f4a814cf09e",),
    "uuid4": ("25b8f0b6-8fd6-4b0f-9c7e-2a1d7cbb0f6b",),
    "uuid5": ("2ed6657d-e927-568b-95e1-2665a8aea6a2",),
    "isbn": ("0321751043", "978-0321751041"),
    "isbn10": ("0321751043", "0-8044-2957-X"),
    "isbn13": ("978-0321751041",),
    "hexcolor": ("#FFFFFF", "000"),
    "rgbcolor": ("rgb(255,255,255)", "rgb( 0 , 0 , 0 )"),
    "ssn": ("111-11-1111", "999 99 9999"),
    "creditcard": ("4111-1111-1111-1111", "4012-8888-8888-1881"),
    "password": ("super secret!!!", ""),
    "byte": ("YQ==", "VGhp"),
    "bsonobjectid": ("507f1f77bcf86cd799439011",),
    "date": ("2026-01-31",),
    "date-time": ("2026-01-01T00:00:00Z", "2026-01-01t23:59:59.5+01:00"),
    "duration": (
        "1h30m", "0", "-1.5h", "1 hour", "45 weekz", "1  wk", "1nanos", "- 1d", "1millis", "12 hours and more",
    ),
    "k8s-short-name": ("a", "1--a--b--2", "a" * 63),
    "k8sshortname": ("a",),
    "k8s-long-name": ("a", "1--a--b--2.1", "a" * 253),
}  # fmt: skip
BAD: dict[str, tuple[str, ...]] = {
    "uri": ("somewhere.com", "a b", ""),
    "email": ("somebody@somewhere@com",),
    "hostname": (
        "somewhere.com!", "user@email.domain", "1.1.1.1", "a" * 256, f"x.y.{LONG}", "www.example-.org",
        "www.--example.org", "-www.example.org", "www-.example.org", "www.-d.org", "www-", "-www",
        "www.ex ample.org", "_www.example.org", "www.example_underscored.org", "www.詹姆斯.x", "a.b.c.d", "xyz-",
        "x.", "a.b.c.dot-", "a.b.c.é;ö", "a-b-c",
    ),
    "ipv4": ("198.168.254.2.2", "::1", "256.0.0.1", "169.254.0.0%eth0"),
    "ipv6": ("127.0.0.1", "1234::abcd%eth0", "::ffff:1.2.3.04"),
    "cidr": ("198.168.254.2", "2001:db8:a0b:12f0::1", "10.0.0.0/33", "10.0.0.0/255.0.0.0"),
    "mac": ("01:02:03:04:05", "01:02-03:04:05:06", "01:02:03:04:05:06:07"),
    "uuid": ("not-a-uuid",),
    "uuid3": ("not-a-uuid", "2ed6657d-e927-568b-95e1-2665a8aea6a2"),
    "uuid4": ("not-a-uuid", "25b8f0b6-8fd6-4b0f-7c7e-2a1d7cbb0f6b"),
    "uuid5": ("not-a-uuid",),
    "isbn": ("836217463",),
    "isbn10": ("836217463", "0321751044"),
    "isbn13": ("978-0321751042",),
    "hexcolor": ("#fffffffz",),
    "rgbcolor": ("rgb(300,0,0)",),
    "ssn": ("999 99 999", "111111111"),
    "creditcard": ("9999-9999-9999-999", "4111-1111-1111-1112"),
    "byte": ("ZWxpemFiZXRocG9zZXk", "%", ""),
    "bsonobjectid": ("507f1f77bcf86cd79943901",),
    "date": ("2026-02-31", "2026-1-1"),
    "date-time": ("2026-01-01", "2026-01-01T24:00:00Z", "2026-01-01T00:00Z", "2026-01-01 00:00:00Z"),
    "duration": ("yada", "three week", f"{'9' * 55} weeks", "12 parsecs", "12 y", "45 wekk", "12 phours", "00"),
    "k8s-short-name": ("", "A", "a-", "-a", "a_b", "a.b", " a", LONG),
    "k8s-long-name": ("", "A.a", "a..b", ".a", "a.", "a_b", "a b", "a" * 254),
}  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
def test_what_has_a_format(name: str) -> None:
    assert [text for text in GOOD[name] if not formats.valid(name, text)] == []


@pytest.mark.parametrize("name", BAD)
def test_what_has_not(name: str) -> None:
    assert [text for text in BAD[name] if formats.valid(name, text)] == []


@pytest.mark.parametrize("name", GOOD)
def test_all_are_known(name: str) -> None:
    assert formats.known(name)


def test_others_are_not_checked() -> None:
    assert formats.valid("unheard-of", "anything")
    assert not formats.known("unheard-of")
    assert not formats.known("int32")
