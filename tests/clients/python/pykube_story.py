"""pykube-ng: objects that fetch, update, patch and delete themselves; queries, watches, tables, rollouts."""

import json
import os
import time

import pykube

LABELS = {"app": "story"}


def objects(api):
    made = pykube.ConfigMap(api, {"metadata": {"name": "story", "namespace": "default"}, "data": {"a": "b"}})
    made.create()
    made.obj["data"]["a"] = "c"
    made.update()
    made.patch({"data": {"b": "d"}})
    made.reload()
    assert made.obj["data"] == {"a": "c", "b": "d"}
    assert made.exists()
    made.annotations["note"] = "x"
    made.update()
    made.delete()
    assert not made.exists()


def deployments(api):
    template = {"metadata": {"labels": LABELS}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}}
    spec = {"replicas": 1, "selector": {"matchLabels": LABELS}, "template": template}
    made = pykube.Deployment(api, {"metadata": {"name": "story", "namespace": "default"}, "spec": spec})
    made.create()
    until(lambda: _reloaded(made).obj.get("status", {}).get("readyReplicas") == 1)
    until(lambda: _scaled(made, 3))
    until(lambda: len(pykube.Pod.objects(api).filter(namespace="default", selector=LABELS)) == 3)
    table = pykube.Pod.objects(api).filter(namespace="default", selector=LABELS).as_table()
    assert len(table.rows) == 3
    made.delete(propagation_policy="Foreground")
    until(lambda: not made.exists())


def _reloaded(one):
    one.reload()
    return one


def _scaled(one, count):
    """Others write too: a conflict is no end."""
    try:
        one.reload()
        one.scale(count)
    except (pykube.exceptions.HTTPError, TimeoutError) as error:
        if getattr(error, "code", 409) != 409:
            raise
        return False
    return True


def watches(api):
    query = pykube.ConfigMap.objects(api).filter(namespace="default", selector={"story": "watch"})
    stream = query.watch(since=pykube.ConfigMap.objects(api).response["metadata"]["resourceVersion"])
    meta = {"name": "watched", "namespace": "default", "labels": {"story": "watch"}}
    made = pykube.ConfigMap(api, {"metadata": meta})
    made.create()
    made.delete()
    events = []
    for event in stream:
        events.append((event.type, event.object.name))
        if event.type == "DELETED":
            break
    assert events == [("ADDED", "watched"), ("DELETED", "watched")], events


def until(look, wait_s=30):
    end = time.monotonic() + wait_s
    while not look():
        assert time.monotonic() < end
        time.sleep(0.05)


done = []
api = pykube.HTTPClient(pykube.KubeConfig.from_file(os.environ["KUBECONFIG"]))
for step in (objects, deployments, watches):
    step(api)
    done.append(step.__name__)
print(json.dumps(done))
