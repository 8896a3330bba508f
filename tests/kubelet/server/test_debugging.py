"""How much a kubelet tells is set while it runs; profiles there are none."""

import logging

import pytest

from tiphys.kubelet.server.debugging import debug
from tiphys.wire.message import Request

FLAG = "klog.logging.verbosity"


@pytest.fixture
def root():
    logger = logging.getLogger()
    before = logger.level
    yield logger
    logger.setLevel(before)


@pytest.mark.parametrize(("text", "level"), [("5", logging.DEBUG), ("0", logging.INFO)])
async def test_verbosity(root, text, level):
    answer = await debug(Request("PUT", "/debug/flags/v", body=text.encode()), ["flags", "v"])
    assert (answer.status, answer.body) == (200, f"successfully set {FLAG} to {text}\n".encode())
    assert root.level == level


@pytest.mark.parametrize(
    ("method", "body", "status", "text"),
    [
        ("GET", b"", 406, "unsupported http method"),
        ("PUT", b"x", 400, f'failed set {FLAG} x: strconv.ParseInt: parsing "x": invalid syntax'),
    ],
)
async def test_what_cannot_be_set(method, body, status, text):
    answer = await debug(Request(method, "/debug/flags/v", body=body), ["flags", "v"])
    assert (answer.status, answer.body.decode()) == (status, f"{text}\n")


async def test_no_profiles():
    assert (await debug(Request("GET", "/debug/pprof/heap"), ["pprof", "heap"])).status == 404
