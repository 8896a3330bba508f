"""Security contexts as the runtime takes them."""

import pytest
from pods import container, pod

from tiphys.kubelet.kuberuntime.security import (
    SecurityProblem,
    container_security,
    namespace_options,
    no_users_of_its_own,
    sandbox_security,
    verify_non_root,
)
from tiphys.kubelet.runtime import Image

ROOT_IMAGE = Image("i", (), (), 1)
USER_IMAGE = Image("i", (), (), 1, uid=5)
NAMED_IMAGE = Image("i", (), (), 1, username="web")
WHERE = '(pod: "p_ns(uid-1)", container: c)'


def secure(context=None, pod_context=None, image=ROOT_IMAGE, **spec):
    one = container(securityContext=context or {})
    return container_security(pod(one, securityContext=pod_context or {}, **spec), one, image, "/seccomp")


@pytest.mark.parametrize(
    ("context", "image", "message"),
    [
        ({}, ROOT_IMAGE, None),
        ({"runAsNonRoot": True, "runAsUser": 1}, ROOT_IMAGE, None),
        (
            {"runAsNonRoot": True, "runAsUser": 0},
            USER_IMAGE,
            f"container's runAsUser breaks non-root policy {WHERE}",
        ),
        (
            {"runAsNonRoot": True},
            ROOT_IMAGE,
            f"container has runAsNonRoot and image will run as root {WHERE}",
        ),
        ({"runAsNonRoot": True}, USER_IMAGE, None),
        (
            {"runAsNonRoot": True},
            NAMED_IMAGE,
            "container has runAsNonRoot and image has non-numeric user (web), cannot verify user is non-root "
            + WHERE,
        ),
    ],
)
def test_non_root(context, image, message):
    one = container(securityContext=context)
    if message is None:
        verify_non_root(pod(one), one, image)
        return
    with pytest.raises(SecurityProblem) as caught:
        verify_non_root(pod(one), one, image)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("context", "pod_context", "image", "key", "value"),
    [
        ({"runAsUser": 7}, {"runAsUser": 8}, ROOT_IMAGE, "run_as_user", {"value": 7}),
        ({}, {"runAsUser": 8}, ROOT_IMAGE, "run_as_user", {"value": 8}),
        ({}, {}, USER_IMAGE, "run_as_user", {"value": 5}),
        ({}, {}, NAMED_IMAGE, "run_as_username", "web"),
        ({"runAsGroup": 9}, {}, ROOT_IMAGE, "run_as_group", {"value": 9}),
        ({"readOnlyRootFilesystem": True}, {}, ROOT_IMAGE, "readonly_rootfs", True),
        ({"allowPrivilegeEscalation": False}, {}, ROOT_IMAGE, "no_new_privs", True),
        ({}, {"fsGroup": 3, "supplementalGroups": [4, 3]}, ROOT_IMAGE, "supplemental_groups", [3, 4]),
        ({}, {}, ROOT_IMAGE, "seccomp", {"profile_type": 1}),
        ({}, {"seccompProfile": {"type": "RuntimeDefault"}}, ROOT_IMAGE, "seccomp", {"profile_type": 0}),
        (
            {"seccompProfile": {"type": "Localhost", "localhostProfile": "a.json"}},
            {},
            ROOT_IMAGE,
            "seccomp",
            {"profile_type": 2, "localhost_ref": "/seccomp/a.json"},
        ),
        (
            {"capabilities": {"add": ["NET_ADMIN", "CAP_SYS_TIME"], "drop": ["all"]}},
            {},
            ROOT_IMAGE,
            "capabilities",
            {"add_capabilities": ["NET_ADMIN", "SYS_TIME"], "drop_capabilities": ["ALL"]},
        ),
        ({"appArmorProfile": {"type": "Unconfined"}}, {}, ROOT_IMAGE, "apparmor_profile", "unconfined"),
    ],
)
def test_container_security(context, pod_context, image, key, value):
    assert secure(context, pod_context, image)[key] == value


def test_masked_paths():
    assert "/proc/kcore" in secure()["masked_paths"]
    assert "masked_paths" not in secure({"privileged": True})
    assert "readonly_paths" not in secure({"procMount": "Unmasked"})
    assert secure({"privileged": True})["seccomp"] == {"profile_type": 1}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, {"network": 0, "pid": 1, "ipc": 0}),
        ({"hostNetwork": True, "hostPID": True, "hostIPC": True}, {"network": 2, "pid": 2, "ipc": 2}),
        ({"shareProcessNamespace": True}, {"network": 0, "pid": 0, "ipc": 0}),
    ],
)
def test_namespaces(spec, expected):
    assert namespace_options(pod(**spec)) == expected


def test_debugger_joins_its_target():
    assert namespace_options(pod(), "abc") == {"network": 0, "pid": 3, "ipc": 0, "target_id": "abc"}


def test_sandbox_is_as_privileged_as_its_containers():
    assert sandbox_security(pod(), "/s")["privileged"] is False
    privileged = pod(container(securityContext={"privileged": True}))
    assert sandbox_security(privileged, "/s")["privileged"] is True
    debugged = pod()
    debugged["spec"]["ephemeralContainers"] = [container(securityContext={"privileged": True})]
    assert sandbox_security(debugged, "/s")["privileged"] is True


@pytest.mark.parametrize(
    ("handler", "known", "text"),
    [
        ("", [""], "runtime does not support user namespaces"),
        ("", [], 'runtime does not support user namespaces: the handler "" is not known'),
        ("kata", ["", "kata"], 'RuntimeClass handler "kata" does not support user namespaces'),
        ("kata", [""],
         'RuntimeClass handler "kata" does not support user namespaces: the handler "kata" is not known'),
    ],
)  # fmt: skip
def test_no_user_namespaces(handler, known, text):
    assert no_users_of_its_own(handler, known) == f"can't set `spec.hostUsers: false`, {text}"
