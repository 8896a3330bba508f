"""cloudcoil: every kind through pydantic models that insist on what upstream always says; waits, watches."""

import importlib
import json
import os
import pkgutil
import sys
from pathlib import Path

import yaml
from cloudcoil.client import Config
from cloudcoil.errors import ResourceNotFound
from cloudcoil.models import kubernetes
from cloudcoil.models.kubernetes.apps.v1 import Deployment
from cloudcoil.models.kubernetes.core.v1 import ConfigMap
from cloudcoil.resources import Resource

MANIFESTS = sys.argv[1]
NAMESPACE = "default"
UNFIT = ("Node", "Pod", "Namespace", "Event")
"""Others write to these at the same time, or the models want what upstream leaves out."""


def models():
    """The model of each kind, by apiVersion and kind."""
    found = {}
    for info in pkgutil.walk_packages(kubernetes.__path__, kubernetes.__name__ + "."):
        module = importlib.import_module(info.name)
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, Resource) and value is not Resource:
                gvk = value.gvk()
                found[gvk.api_version, gvk.kind] = value
    return found


def every_kind():
    """Make, read, list and delete what there is of each kind."""
    known, count = models(), 0
    text = Path(MANIFESTS).read_text().replace("sweep-namespace", NAMESPACE)
    for one in yaml.safe_load_all(text):
        model = known.get((one["apiVersion"], one["kind"]))
        if model is None or "@" in json.dumps(one) or one["kind"] in UNFIT:
            continue
        made = model.model_validate(one).create()
        name = made.metadata.name
        where = made.metadata.namespace
        assert model.get(name, where).metadata.uid == made.metadata.uid
        assert name in [item.metadata.name for item in model.list(namespace=where)]
        made.remove()
        count += 1
    assert count > 40, count


def changes():
    made = ConfigMap(metadata={"name": "story", "namespace": NAMESPACE}, data={"a": "b"}).create()
    made.data["a"] = "c"
    assert made.update().data == {"a": "c"}
    assert made.fetch().data == {"a": "c"}
    made.remove()
    try:
        made.fetch()
    except ResourceNotFound:
        return
    raise AssertionError("it is there")


def waits():
    template = {"metadata": {"labels": {"app": "w"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"replicas": 1, "selector": {"matchLabels": {"app": "w"}}, "template": template}
    made = Deployment(metadata={"name": "w", "namespace": NAMESPACE}, spec=spec).create()
    made.scale(2)
    made.wait_for(lambda _event, one: bool(one.status and one.status.ready_replicas == 2), timeout=30)
    made.remove()


def watches():
    start = ConfigMap.list(namespace=NAMESPACE).metadata.resource_version
    made = ConfigMap(metadata={"name": "watched", "namespace": NAMESPACE}).create()
    made.remove()
    kinds = []
    for kind, one in ConfigMap.watch(namespace=NAMESPACE, resource_version=start):
        if one.metadata and one.metadata.name == "watched":
            kinds.append(kind)
        if kinds == ["ADDED", "DELETED"]:
            return


done = []
with Config(kubeconfig=os.environ["KUBECONFIG"], namespace=NAMESPACE):
    for step in (every_kind, changes, waits, watches):
        step()
        done.append(step.__name__)
print(json.dumps(done))
