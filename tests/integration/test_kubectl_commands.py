"""What people type into kubectl and what it prints, told as upstream's command tests tell it: one table.

A line is a command; one that begins with ``!`` fails. ``>`` is in what it prints, ``<`` is not, ``=`` is all of it.
A command that begins with ``~`` is asked again until what follows it holds. Each story has a namespace of its own, ``$NS``.
"""

# ruff: noqa: E501

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.kubectls import newest_tools

pytestmark = [pytest.mark.slow, pytest.mark.kubectl]
POD = """{apiVersion: v1, kind: Pod, metadata: {name: %s, labels: {name: %s%s}}, spec: {containers: [{name: c, image: "%s"}]}}
"""
TEMPLATE = """template: {metadata: {labels: {app: x}}, spec: {containers: [{name: c, image: "%s", command: [sh, -c, "a && b > c"]}]}}"""
DAEMON = (
    "{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: d}, spec: {selector: {matchLabels: {app: x}}, "
    + TEMPLATE
    + "}}"
)
STATEFUL = (
    "{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: s}, spec: {serviceName: s, selector: {matchLabels: {app: x}}, "
    + TEMPLATE
    + "}}"
)
MAP = "{apiVersion: v1, kind: ConfigMap, metadata: {name: m}, data: {%s}}"
CRD = """{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: %(plural)s.%(group)s}, spec: {group: %(group)s, scope: Namespaced,
  names: {plural: %(plural)s, %(names)s}, versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]}}"""
FILES = {
    "pod.yaml": POD % ("test-pod", "test-pod-label", "", "i:1"),
    "pod-applied.yaml": POD % ("test-pod", "test-pod-applied", "", "i:1"),
    "pod-image.yaml": POD % ("test-pod", "test-pod-label", "", "i:2"),
    "a.yaml": POD % ("a", "a", ', group: "true"', "i"),
    "b.yaml": POD % ("b", "b", ', group: "true"', "i"),
    "service.yaml": '{apiVersion: v1, kind: Service, metadata: {name: svc, labels: {group: "true"}}, spec: {ports: [{port: 80}]}}',
    "three.yaml": "---\n".join(POD % (name, "x", "", "i") for name in ("pod-a", "POD-B", "pod-c")),
    "bogus.yaml": MAP % "a: b" + "\n---\n{apiVersion: example.com/v1, kind: Bogus, metadata: {name: foo}}",
    "csa.yaml": MAP % "key: value, legacy: unused",
    "ssa.yaml": MAP % "key: value, ssaKey: ssaValue",
    "csa-again.yaml": MAP % "key: value, newKey: newValue",
    "daemon.yaml": DAEMON % "i:1",
    "daemon-2.yaml": DAEMON % "i:2",
    "stateful.yaml": STATEFUL % "i:1",
    "stateful-2.yaml": STATEFUL % "i:2",
    "unknown.yaml": POD.replace("spec: {", "spec: {unknown: 1, ") % ("odd", "odd", "", "i"),
    "foos.yaml": CRD % {"plural": "foos", "group": "company.com", "names": "kind: Foo"},
    "foo.yaml": "{apiVersion: company.com/v1, kind: Foo, metadata: {name: test}, someField: field1}",
    "clash.yaml": CRD % {"plural": "examples", "group": "test.com", "names": "singular: pod, shortNames: [po], kind: Example"},
    "example.yaml": "{apiVersion: test.com/v1, kind: Example, metadata: {name: not-a-pod}}",
    "sar.yaml": "{apiVersion: authorization.k8s.io/v1, kind: SubjectAccessReview, spec: {user: foo, resourceAttributes: {verb: get, resource: pods}}}",
}  # fmt: skip
STORIES = {
    "a rollback to what is there already is none": """
apply -f daemon.yaml -f stateful.yaml
~ get controllerrevisions -o jsonpath={.items[*].revision}
= 1 1
rollout undo daemonset/d --to-revision=1
> daemonset.apps/d skipped rollback (current template already matches revision 1)
rollout undo statefulset/s --to-revision=1
> statefulset.apps/s skipped rollback (current template already matches revision 1)
apply -f daemon-2.yaml -f stateful-2.yaml
~ get controllerrevisions --sort-by=.revision -o jsonpath={.items[*].revision}
= 1 1 2 2
rollout undo daemonset/d --dry-run=server
get daemonset d -o jsonpath={..image}
= i:2
rollout undo daemonset/d --to-revision=1
> daemonset.apps/d rolled back
get daemonset d -o jsonpath={..image}
= i:1
! rollout undo statefulset/s --to-revision=1000000
> unable to find specified revision
rollout undo statefulset/s
> statefulset.apps/s rolled back
get statefulset s -o jsonpath={..image}
= i:1
""",
    "revisions of a deployment": """
create deployment web --image=i:1
~ get replicasets -o jsonpath={.items[*].spec.template.spec.containers[0].image}
= i:1
set image deployment/web i=i:2
~ rollout history deployment/web --revision=2 -o jsonpath={..image}
= i:2
rollout undo deployment/web
~ get replicasets -o jsonpath={.items[*].metadata.annotations.deployment\\.kubernetes\\.io/revision-history}
= 1
rollout pause deployment/web
! rollout undo deployment/web
! rollout restart deployment/web
> can't restart paused deployment (run rollout resume first)
rollout resume deployment/web
! rollout status deployment/web --revision=2
> desired revision (2) is different from the running revision (3)
""",
    "what is no longer applied is pruned": """
apply -l group=true -f a.yaml
apply --prune -l group=true -f b.yaml
> pod/b created
> pod/a pruned
diff --prune -l group=true -f b.yaml
apply --prune -l group=true -f service.yaml --prune-allowlist core/v1/Service
get pod b -o name
= pod/b
apply --prune -l group=true -f service.yaml
> pod/b pruned
! apply --prune -f a.yaml
> all resources selected for prune without explicitly passing --all
""",
    "dry runs leave nothing": """
apply -f pod.yaml --dry-run=client
= pod/test-pod created (dry run)
apply -f pod.yaml --dry-run=server
= pod/test-pod created (server dry run)
create -f pod.yaml --dry-run=server
= pod/test-pod created (server dry run)
apply -f pod.yaml --server-side --dry-run=server
= pod/test-pod serverside-applied (server dry run)
! get pod test-pod
> Error from server (NotFound): pods "test-pod" not found
create -f pod.yaml
apply set-last-applied --dry-run=server -f pod.yaml --create-annotation=true
label pod test-pod a=b --dry-run=server
> pod/test-pod labeled (server dry run)
annotate pod test-pod a=b --dry-run=server
set image pod/test-pod c=i:9 --dry-run=server
patch pod test-pod --dry-run=server -p {"metadata":{"labels":{"name":"other"}}}
get pod test-pod -o jsonpath={.metadata.labels},{.metadata.annotations},{.spec.containers[0].image}
= {"name":"test-pod-label"},,i:1
delete pod test-pod --dry-run=server
> (server dry run)
create quota q --hard=pods=1 --dry-run=server
create token default --duration=10m
get pod test-pod -o name
= pod/test-pod
""",
    "from client-side to server-side apply and back": """
apply -f csa.yaml
= configmap/m created
apply --server-side -f csa.yaml
= configmap/m serverside-applied
apply --server-side -f ssa.yaml
get configmap m -o jsonpath={.data}
= {"key":"value","ssaKey":"ssaValue"}
apply -f csa-again.yaml
get configmap m -o jsonpath={.data}
= {"key":"value","newKey":"newValue"}
apply --server-side -f ssa.yaml
get configmap m -o jsonpath={.data}
= {"key":"value","ssaKey":"ssaValue"}
! diff --server-side -f csa-again.yaml
> +  newKey: newValue
apply view-last-applied configmap/m
> ssaKey: ssaValue
""",
    "whose fields are whose": """
apply -f pod.yaml
! apply --server-side --field-manager=not-kubectl -f pod-applied.yaml
> conflict with "kubectl-client-side-apply" using v1: .metadata.labels.name
apply --server-side -f pod-applied.yaml
get pod test-pod --show-managed-fields -o jsonpath={.metadata.managedFields[?(@.operation=="Apply")].manager}
= kubectl-last-applied kubectl
! diff -f pod-image.yaml --server-side
> i:2
""",
    "one of several fails": """
! apply -f three.yaml
> The Pod "POD-B" is invalid
get pods -o name
= pod/pod-a pod/pod-c
! apply -f bogus.yaml
> no matches for kind "Bogus" in version "example.com/v1"
get configmap m -o jsonpath={.data.a}
= b
! apply -n kube-system -f foreign.yaml
> the path "foreign.yaml" does not exist
! delete pods
! delete pods --all -l name=x
> setting 'all' parameter but found a non empty selector
""",
    "fields that nobody knows": """
! create -f unknown.yaml
> strict decoding error: unknown field "spec.unknown"
create -f unknown.yaml --validate=warn
> Warning: unknown field "spec.unknown"
delete -f unknown.yaml --force
create -f unknown.yaml --validate=ignore
< Warning: unknown
! create -f unknown.yaml --validate=foo
> invalid - validate option "foo"
! create --raw /api/v1/namespaces -f pod.yaml
> the object provided is unrecognized (must be of type Namespace)
""",
    "a custom kind by each of its names": """
create -f foos.yaml
wait --for=condition=Established crd/foos.company.com --timeout=20s
create -f foo.yaml
get foo -o name
= foo.company.com/test
get foos.v1.company.com/test -o jsonpath={.someField}
= field1
! patch foos/test -p {"patched":"value1"}
> the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml
patch foos/test --type=merge -p {"patched":"value1"}
= foo.company.com/test patched
patch foos/test --type=merge -p {"patched":"value1"}
= foo.company.com/test patched (no change)
label foos --all listed=true
describe foos
> listed=true
> Patched:
get foos --watch --request-timeout=500ms -o name
> foo.company.com/test
delete foos test --cascade=orphan
delete crd foos.company.com
! get foos
> the server could not find the requested resource
""",
    "a custom kind named like a pod is none": """
create -f clash.yaml
wait --for=condition=Established crd/examples.test.com --timeout=20s
create -f example.yaml
get examples -o name
> /not-a-pod
get pod
> No resources found in $NS namespace.
get po
< not-a-pod
delete crd examples.test.com
""",
    "a debugger beside, in place of, and within limits": """
run target --image=i
debug target --image=busybox --attach=false -c d1 --profile=general
debug target --image=busybox --attach=false -c d2 --profile=restricted
get pod target -o jsonpath={.spec.ephemeralContainers[*].name},{.spec.ephemeralContainers[*].securityContext.capabilities}
= d1 d2,{"add":["SYS_PTRACE"]} {"drop":["ALL"]}
debug target --copy-to=copy --image=busybox --container=d --attach=false --replace
get pods -o jsonpath={.items[*].metadata.name},{.items[*].spec.containers[*].name}
= copy,target d
debug node/node-1 --image=busybox --attach=false -- true
> Creating debugging pod node-debugger-node-1-
label namespace $NS pod-security.kubernetes.io/enforce=restricted
! run other --image=i
> violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false (container "other" must set securityContext.allowPrivilegeEscalation=false)
! debug copy --image=busybox --attach=false -c d3 --profile=sysadmin
> violates PodSecurity "restricted:latest"
""",
    "waiting": """
create deployment web --image=i
wait --for=jsonpath={.status.readyReplicas}=1 deployment/web --timeout=20s
> deployment.apps/web condition met
wait --for=create deployment/web --timeout=20s
! wait --for=jsonpath={.status.readyReplicas}=2 deployment/web --timeout=300ms
> timed out waiting for the condition on deployments/web
! wait pod --selector=app=none --for=condition=Ready --timeout=300ms
> no matching resources found
delete deployment web --wait=false
wait --for=delete deployment/web --timeout=20s
""",
    "patches of each kind": """
create -f pod.yaml
! patch pod test-pod -p {"metadata":{"labels":"invalid"}}
> cannot restore map from string
! patch pod test-pod -p {"metadata":{"resourceVersion":"999999999"}}
> the object has been modified; please apply your changes to the latest version and try again
patch pod test-pod --type=json -p [{"op":"replace","path":"/spec/containers/0/image","value":"i:2"}]
get pod test-pod -o jsonpath={..containers..image}
= i:2
patch pod test-pod --subresource=status --type=merge -p {"status":{"message":"hi"}}
get pod test-pod --subresource=status -o jsonpath={.status.message}
= hi
! get pod test-pod --subresource=scale
> the server could not find the requested resource
! patch pod test-pod -p {"spec":{"nodeSelector":{"a":"b"}}}
> pod updates may not change fields other than
! label pod test-pod name=other
> already has a value (test-pod-label), and --overwrite is false
""",
    "who asks": """
! get pods --as-group=foo
> without impersonating a user
auth whoami --as=user1 --as-group=group2 --as-group=,,,chameleon --as-uid=abc123 --as-user-extra=key1=one,two -o jsonpath={.status.userInfo}
= {"extra":{"key1":["one,two"]},"groups":["group2",",,,chameleon","system:authenticated"],"uid":"abc123","username":"user1"}
create -f sar.yaml
> subjectaccessreview.authorization.k8s.io/<unknown> created
! create token nobody
> serviceaccounts "nobody" not found
""",
    "lists in pages, drained by them": """
run p1 --image=i -l type=t
run p2 --image=i -l type=t
wait pod --all --for=condition=Ready --timeout=20s
get pods --chunk-size=1 -v=6
> pods?limit=1"
> pods?continue=
> p2
label node node-2 story=pages
drain --force --pod-selector type=t --selector story=pages --chunk-size=1 --dry-run=client -v=6
> nodes?labelSelector=story%3Dpages&limit=1"
label node node-2 story-
! drain node-2 --selector a=b
> cannot specify both a node name
cordon --selector story=pages
< cordoned
""",
}
Answer = subprocess.CompletedProcess[str]
Kubectl = Callable[[str], Answer]


@pytest.fixture
def kubectl(api: Any, namespace: str, tmp_path: Path) -> Kubectl:
    """Run one line in a folder with the files."""
    binary = newest_tools() / "kubectl"
    known = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)

    def run(line: str) -> Answer:
        command = [str(binary), "--kubeconfig", api.kubeconfig, "--namespace", namespace, *line.split(" ")]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=60, env=known, cwd=tmp_path, check=False
        )

    return run


@pytest.mark.parametrize("name", STORIES)
def test_a_story(kubectl: Kubectl, namespace: str, name: str) -> None:
    lines = STORIES[name].replace("$NS", namespace).strip().splitlines()
    answer = None
    for line, after in zip(lines, [*lines[1:], ""], strict=True):
        sign, _, text = line.partition(" ")
        if sign == "~":
            answer = _until(kubectl, text, after)
        elif sign in (">", "<", "="):
            assert answer is not None
            assert _holds(answer, line), f"{line}\n{answer.args}\n{answer.stdout}{answer.stderr}"
        else:
            answer = kubectl(text if sign == "!" else line)
            assert (answer.returncode != 0) is (sign == "!"), f"{line}\n{answer.stdout}{answer.stderr}"


def _holds(answer: Answer, line: str) -> bool:
    said, text = answer.stdout + answer.stderr, line[2:]
    return {">": text in said, "<": text not in said, "=": " ".join(said.split()) == text}[line[0]]


def _until(kubectl: Kubectl, command: str, wanted: str) -> Answer:
    end = time.monotonic() + 30
    while not _holds(answer := kubectl(command), wanted) and time.monotonic() < end:
        pass
    return answer
