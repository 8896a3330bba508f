"""``--tracing-config-file``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tiphys.apimachinery.tracing_config import TracingOptions
from tiphys.cmd.component import FlagError
from tiphys.cmd.tracing_flags import tracing_from

GOOD = """
apiVersion: apiserver.config.k8s.io/v1
kind: TracingConfiguration
endpoint: collector:4317
samplingRatePerMillion: 100
"""


def test_a_file_says_where_spans_go(tmp_path: Path) -> None:
    assert tracing_from("") is None
    path = tmp_path / "tracing.yaml"
    path.write_text(GOOD)
    assert tracing_from(str(path)) == TracingOptions("collector:4317", 100)


UNREAD = "failed to read tracing config: unable to decode tracing configuration data: "
WRONG = GOOD.replace("100", "-1")
BAD = {
    "a: [": UNREAD,
    "kind: Pod": f'{UNREAD}no kind "Pod" is registered',
    WRONG: "failed to validate tracing configuration: samplingRatePerMillion: Invalid value: -1: ",
}


@pytest.mark.parametrize("text", BAD)
def test_a_file_that_is_wrong(tmp_path: Path, text: str) -> None:
    path = tmp_path / "tracing.yaml"
    path.write_text(text)
    with pytest.raises(FlagError) as raised:
        tracing_from(str(path))
    assert str(raised.value).startswith(BAD[text])


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(FlagError) as raised:
        tracing_from("/nowhere")
    assert str(raised.value) == (
        'failed to read tracing config: unable to read tracing configuration from "/nowhere": '
        "open /nowhere: no such file or directory"
    )
