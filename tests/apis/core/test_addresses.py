"""What is seen at once to be in order is what nothing is found to be wrong with."""

from __future__ import annotations

import ipaddress
import random

import pytest

from tiphys.apis.core import addresses
from tiphys.apis.core.address_warnings import cidr_warnings, ip_warnings

PARTS = (
    "0",
    "1",
    "00",
    "01",
    "9",
    "10",
    "127",
    "169",
    "224",
    "254",
    "255",
    "256",
    "1000",
    "",
    "a",
    "-1",
    "١",
)
LENGTHS = ("", "0", "00", "1", "8", "08", "16", "31", "32", "33", "128", "+8", "x")


def made(random_: random.Random) -> str:
    return ".".join(random_.choice(PARTS) for _ in range(random_.choice((3, 4, 4, 4, 4, 4, 5))))


@pytest.mark.parametrize("seed", range(4))
def test_what_is_seen_at_once(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    random_ = random.Random(seed)
    texts = [made(random_) for _ in range(1500)]
    texts += [str(ipaddress.IPv4Address(random_.randrange(1 << 32))) for _ in range(500)]
    ranges = [f"{text}/{random_.choice(LENGTHS)}" for text in texts]
    ranges += [
        str(ipaddress.ip_network((random_.randrange(1 << 32), random_.randrange(33)), strict=False))
        for _ in range(500)
    ]

    def judge() -> list[object]:
        found: list[object] = []
        for text in (*texts, "::1", "::ffff:1.2.3.4"):
            found.append((addresses.ip_faults(text, "p"), ip_warnings("p", text)))
            found.append(addresses.special_ip_faults(text, "p"))
        return found + [
            (addresses.cidr_faults(text, "p", strict=True), cidr_warnings("p", text))
            for text in (*ranges, "::/0")
        ]

    plain = [text for text in texts if addresses.is_plain_address(text)]
    plain_ranges = [text for text in ranges if addresses.is_plain_range(text)]
    assert len(plain) > 500
    assert len(plain_ranges) > 500
    quick = judge()
    monkeypatch.setattr(addresses, "_match_plain", lambda _text: None)
    monkeypatch.setattr(addresses, "_match_plain_range", lambda _text: None)
    assert quick == judge()
