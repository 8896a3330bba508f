"""Families that upstream calls alpha, as a scrape shows them: names, labels and what makes them move."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

PODS = "/api/v1/namespaces/default/pods"
KIND = {"group": "", "resource": "pods"}
MOVED: dict[str, tuple[str, dict[str, str], float]] = {
    "apiserver_cache_list_total": (PODS, {**KIND, "index": ""}, 1),
    "apiserver_cache_list_total by index": (
        f"{PODS}?fieldSelector=spec.nodeName=n", {**KIND, "index": "f:spec.nodeName"}, 1
    ),
    "apiserver_cache_list_fetched_objects_total": (f"{PODS}?labelSelector=a=b", {**KIND, "index": ""}, 2),
    "apiserver_cache_list_returned_objects_total": (PODS, KIND, 2),
    "apiserver_watch_cache_consistent_read_total": (
        PODS, {**KIND, "success": "true", "fallback": "false"}, 1
    ),
    "apiserver_watch_cache_read_wait_seconds_count": (PODS, KIND, 1),
    "apiserver_request_filter_duration_seconds_count": (PODS, {"filter": "priorityandfairness"}, 1),
}  # fmt: skip
THERE = {
    "apiserver_storage_list_total": {"group": "", "resource": "namespaces"},
    "apiserver_storage_list_fetched_objects_total": {"group": "", "resource": "namespaces"},
    "apiserver_storage_list_evaluated_objects_total": {"group": "", "resource": "namespaces"},
    "apiserver_storage_list_returned_objects_total": {"group": "", "resource": "namespaces"},
    "etcd_lease_object_counts_count": {},
    "apiserver_envelope_encryption_dek_cache_fill_percent": {},
    "apiserver_storage_data_key_generation_duration_seconds_count": {},
    "apiserver_storage_data_key_generation_failures_total": {},
    "apiserver_storage_envelope_transformation_cache_misses_total": {},
}


async def scrape(api: Any) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    text = (await api("GET", "/metrics")).raw.decode()
    return {
        (one.name, frozenset(one.labels.items())): one.value
        for family in text_string_to_metric_families(text)
        for one in family.samples
    }


@pytest.mark.parametrize(("name", "case"), MOVED.items(), ids=MOVED)
async def test_what_a_list_moves(
    api: Any, make_pod: Any, name: str, case: tuple[str, dict[str, str], float]
) -> None:
    path, labels, by = case
    key = (name.partition(" ")[0], frozenset(labels.items()))
    for pod in ("a", "b"):
        await api.create(PODS, make_pod(pod))
    before = await scrape(api)
    again = await scrape(api)
    await api.get(path)
    after = await scrape(api)
    meanwhile = again.get(key, 0) - before.get(key, 0)  # of the scrape itself
    assert after.get(key, 0) - again.get(key, 0) - meanwhile == by


@pytest.mark.parametrize("name", THERE)
async def test_what_is_there_from_the_start(api: Any, name: str) -> None:
    assert (name, frozenset(THERE[name].items())) in await scrape(api)
