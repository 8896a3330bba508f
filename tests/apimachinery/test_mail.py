"""Addresses of mail, and what is none."""

# ruff: noqa: E501

from __future__ import annotations

import pytest

from tiphys.apimachinery.mail import is_address

GOOD = (
    "blah@gmail.com", "test@d.verylongtoplevel", "email+tag@gmail.com", '" "@example.com', r'"Abc\@def"@example.com',
    '"Fred Bloggs"@example.com', r'"Joe\\Blow"@example.com', '"Abc@def"@example.com',
    "customer/department=shipping@example.com", "$A12345@example.com", "!def!xyz%abc@example.com",
    "_somename@example.com", "!#$%&'*+-/=?^_`{}|~@example.com", "Miles.O'Brian@example.com",
    "postmaster@☁→❄→☃→☀→☺→☂→☹→✝.ws", "root@localhost", "john@com", " a@b ", "a@b (Joe (the first))",
    "Joe Q. Public <john.q.public@example.com>", '"Joe" (a comment) Public <a@b>', "<a@b>", "Team: a@b;",
    "a@[127.0.0.1]", "用户@例.网",
)  # fmt: skip
BAD = (
    "", " ", "a", "a@", "@b", "somebody@somewhere@com", ".a@b", "a.@b", "a..b@c", "a@b.", "a b@c", "a@b c",
    '""@b', '"a@b', '"\x01"@b', "a@[1", "a@[1[2]", "<a@b", "a@b>", "a@b, c@d", "Team: a@b, c@d;", "Team:;",
    "Team: a@b c@d;", "a@b (open", "Joe a@b", "Team: Inner: a@b;;",
)  # fmt: skip


@pytest.mark.parametrize("text", GOOD)
def test_addresses(text: str) -> None:
    assert is_address(text)


@pytest.mark.parametrize("text", BAD)
def test_what_is_no_address(text: str) -> None:
    assert not is_address(text)
