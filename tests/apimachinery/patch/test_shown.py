"""The order of keys in what a refused patch shows."""

import orjson
import pytest

from tiphys.apimachinery.patch import json_patch, shown

DOCUMENT = '{"z":{"n":1,"m":{"y":1,"x":2},"k":[{"d":1,"c":2}]},"a":{"t":1,"s":2}}'

MERGES = [
    ("what it looks into is sorted", '{"z":{"n":2}}',
     '{"a":{"t":1,"s":2},"z":{"k":[{"d":1,"c":2}],"m":{"y":1,"x":2},"n":2}}'),
    ("what is new is sorted whole", '{"z":{"new":{"y":{"f":1,"e":null},"x":[{"b":1,"a":2}]}}}',
     '{"a":{"t":1,"s":2},"z":{"k":[{"d":1,"c":2}],"m":{"y":1,"x":2},"n":1,"new":{"x":[{"a":2,"b":1}],"y":{"f":1}}}}'),
    ("a list in the place of another", '{"z":{"k":[{"b":1,"a":2}]}}',
     '{"a":{"t":1,"s":2},"z":{"k":[{"a":2,"b":1}],"m":{"y":1,"x":2},"n":1}}'),
    ("a list in the place of a map", '{"a":[{"b":1,"a":2}]}',
     '{"a":[{"b":1,"a":2}],"z":{"n":1,"m":{"y":1,"x":2},"k":[{"d":1,"c":2}]}}'),
    ("what is taken away", '{"z":null}', '{"a":{"t":1,"s":2}}'),
]  # fmt: skip


@pytest.mark.parametrize(("patch", "expected"), [row[1:] for row in MERGES], ids=[row[0] for row in MERGES])
def test_merged(patch, expected):
    assert orjson.dumps(shown.merged(orjson.loads(DOCUMENT), orjson.loads(patch))).decode() == expected


OPERATIONS = [
    ("the way is sorted, the place is not", [{"op": "add", "path": "/z/m/w", "value": {"q": 1, "p": 2}}],
     '{"a":{"t":1,"s":2},"z":{"k":[{"d":1,"c":2}],"m":{"w":{"q":1,"p":2},"x":2,"y":1},"n":1}}'),
    ("through a list", [{"op": "replace", "path": "/z/k/0/d", "value": 3}],
     '{"a":{"t":1,"s":2},"z":{"k":[{"c":2,"d":3}],"m":{"y":1,"x":2},"n":1}}'),
    ("what is compared", [{"op": "test", "path": "/z", "value": orjson.loads(DOCUMENT)["z"]}],
     '{"a":{"t":1,"s":2},"z":{"k":[{"c":2,"d":1}],"m":{"x":2,"y":1},"n":1}}'),
    ("where it came from", [{"op": "move", "from": "/z/m/y", "path": "/b"}],
     '{"a":{"t":1,"s":2},"b":1,"z":{"k":[{"d":1,"c":2}],"m":{"x":2},"n":1}}'),
    ("nothing", [], '{"a":{"t":1,"s":2},"z":{"n":1,"m":{"y":1,"x":2},"k":[{"d":1,"c":2}]}}'),
]  # fmt: skip


@pytest.mark.parametrize(
    ("operations", "expected"), [row[1:] for row in OPERATIONS], ids=[row[0] for row in OPERATIONS]
)
def test_operated(operations, expected):
    document = orjson.loads(DOCUMENT)
    made = json_patch.apply(document, operations)
    assert orjson.dumps(shown.operated(made, operations)).decode() == expected
    assert orjson.dumps(document).decode() == DOCUMENT
