"""What a scrape shows of the requests that were counted."""

from tiphys.apiserver.metrics import Metrics

POD_GETS = ("GET", "", "v1", "pods", "")


def test_requests_are_counted_by_what_they_asked_and_how_they_ended() -> None:
    metrics = Metrics()
    for code in (200, 200, 404):
        metrics.observe(POD_GETS, code, 0.001)
    text = metrics.render().decode()
    labels = 'group="",resource="pods",subresource="",verb="GET",version="v1"'
    assert f'apiserver_request_total{{code="200",{labels}}} 2.0' in text
    assert f'apiserver_request_total{{code="404",{labels}}} 1.0' in text


def test_durations_fall_into_cumulative_buckets() -> None:
    metrics = Metrics()
    for seconds in (0.001, 0.005, 0.03, 100.0):
        metrics.observe(POD_GETS, 200, seconds)
    lines = metrics.render().decode().splitlines()
    rows = [line for line in lines if line.startswith("apiserver_request_duration_seconds_")]

    def value(part: str) -> str:
        return next(row.rsplit(" ", 1)[1] for row in rows if part in row)

    assert value('le="0.005"') == "2.0"
    assert value('le="0.025"') == "2.0"
    assert value('le="0.05"') == "3.0"
    assert value('le="60.0"') == "3.0"
    assert value('le="+Inf"') == "4.0"
    assert value("_seconds_count") == "4.0"
    assert value("_seconds_sum") == "100.036"
