"""Times in Go's layouts: which are read, and what is said of the others."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiphys.apimachinery import go_time
from tiphys.apimachinery.go_time import RFC3339, RFC3339_MICRO, TimeError

READ: dict[str, tuple[str, str, str]] = {
    "plain": ("2020-02-29T23:59:59Z", RFC3339, "2020-02-29T23:59:59+00:00"),
    "offset": ("2020-01-01T00:30:00+01:00", RFC3339, "2019-12-31T23:30:00+00:00"),
    "west": ("2020-01-01T00:30:00-00:45", RFC3339, "2020-01-01T01:15:00+00:00"),
    "an offset of a day": ("2020-01-02T00:00:00+24:00", RFC3339, "2020-01-01T00:00:00+00:00"),
    "fraction": ("2020-01-01T00:00:00.123456789Z", RFC3339, "2020-01-01T00:00:00.123456+00:00"),
    "fraction after a comma": ("2020-01-01T00:00:00,5Z", RFC3339, "2020-01-01T00:00:00.500000+00:00"),
    "an hour of one digit": ("2020-01-01T1:00:00Z", RFC3339, "2020-01-01T01:00:00+00:00"),
    "micro": ("2020-01-01T00:00:00.000001Z", RFC3339_MICRO, "2020-01-01T00:00:00.000001+00:00"),
}


@pytest.mark.parametrize(("text", "layout", "moment"), READ.values(), ids=READ.keys())
def test_read(text: str, layout: str, moment: str) -> None:
    assert go_time.parse(text, layout) == datetime.fromisoformat(moment)
    assert go_time.parse(text, layout).tzinfo is UTC


def unread(rest: str, element: str) -> str:
    return f' as "{{layout}}": cannot parse "{rest}" as "{element}"'


REFUSED: dict[str, tuple[str, str, str]] = {
    "nothing": ("", RFC3339, unread("", "2006")),
    "a word": ("now", RFC3339, unread("now", "2006")),
    "a short year": ("202-01-01T00:00:00Z", RFC3339, unread("202-01-01T00:00:00Z", "2006")),
    "a long year": ("20200-01-01T00:00:00Z", RFC3339, unread("0-01-01T00:00:00Z", "-")),
    "a date": ("2020-01-01", RFC3339, unread("", "T")),
    "a space for T": ("2020-01-01 00:00:00Z", RFC3339, unread(" 00:00:00Z", "T")),
    "a small t": ("2020-01-01t00:00:00Z", RFC3339, unread("t00:00:00Z", "T")),
    "a month of one digit": ("2020-1-01T00:00:00Z", RFC3339, unread("1-01T00:00:00Z", "01")),
    "no month": ("2020-13-01T00:00:00Z", RFC3339, ": month out of range"),
    "a day of one digit": ("2020-01-1T00:00:00Z", RFC3339, unread("1T00:00:00Z", "02")),
    "no day": ("2021-02-29T00:00:00Z", RFC3339, ": day out of range"),
    "day nought": ("2021-02-00T00:00:00Z", RFC3339, ": day out of range"),
    "no hour": ("2020-01-01T24:00:00Z", RFC3339, ": hour out of range"),
    "no minute": ("2020-01-01T00:60:00Z", RFC3339, ": minute out of range"),
    "a leap second": ("2020-12-31T23:59:60Z", RFC3339, ": second out of range"),
    "no seconds": ("2020-01-01T00:00Z", RFC3339, unread("Z", ":")),
    "without dashes": ("20200101T000000Z", RFC3339, unread("0101T000000Z", "-")),
    "a week": ("2020-W01-1T00:00:00Z", RFC3339, unread("W01-1T00:00:00Z", "01")),
    "no zone": ("2020-01-01T00:00:00", RFC3339, unread("", "Z07:00")),
    "a small z": ("2020-01-01T00:00:00z", RFC3339, unread("z", "Z07:00")),
    "a zone without a colon": ("2020-01-01T00:00:00+0100", RFC3339, unread("+0100", "Z07:00")),
    "a zone of hours": ("2020-01-01T00:00:00+01", RFC3339, unread("+01", "Z07:00")),
    "a zone too far": ("2020-01-01T00:00:00+25:00", RFC3339, ": time zone offset hour out of range"),
    "a zone of minutes": ("2020-01-01T00:00:00+01:61", RFC3339, ": time zone offset minute out of range"),
    "both": ("2020-01-01T00:00:00+25:61", RFC3339, ": time zone offset minute out of range"),
    "a point alone": ("2020-01-01T00:00:00.Z", RFC3339, unread(".Z", "Z07:00")),
    "more after it": ("2020-01-01T00:00:00Zulu", RFC3339, ': extra text: "ulu"'),
    "quotes": ('a"b\\', RFC3339, ' as "{layout}": cannot parse "a\\"b\\\\" as "2006"'),
    "before the first year": ("0001-01-01T00:00:00+01:00", RFC3339, ": year out of range"),
    "after the last year": ("9999-12-31T23:59:59-01:00", RFC3339, ": year out of range"),
    "micro without a fraction": ("2020-01-01T00:00:00Z", RFC3339_MICRO, unread("Z", ".000000")),
    "micro with a short one": ("2020-01-01T00:00:00.123Z", RFC3339_MICRO, unread(".123Z", ".000000")),
    "micro with a long one": ("2020-01-01T00:00:00.123456789Z", RFC3339_MICRO, unread("789Z", "Z07:00")),
}


@pytest.mark.parametrize(("text", "layout", "said"), REFUSED.values(), ids=REFUSED.keys())
def test_refused(text: str, layout: str, said: str) -> None:
    with pytest.raises(TimeError) as caught:
        go_time.parse(text, layout)
    shown = text.replace("\\", "\\\\").replace('"', '\\"')
    assert str(caught.value) == f'parsing time "{shown}"' + said.replace("{layout}", layout)


TEXTS = st.text(st.sampled_from("0123456789-T:Z+., x\u00e9"), max_size=30) | st.from_regex(
    r"\A\d{4}-\d\d-\d\dT\d\d?:\d\d:\d\d([.,]\d{0,9})?(Z|[+-]\d\d:\d\d)?\Z"
)


@given(TEXTS, st.sampled_from([RFC3339, RFC3339_MICRO]))
def test_a_time_or_a_reason(text: str, layout: str) -> None:
    said = go_time.explain(text, layout)
    try:
        go_time.parse(text, layout)
    except TimeError:
        return
    assert said == ""
