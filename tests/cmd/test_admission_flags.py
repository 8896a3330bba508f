"""Which admission plugins flags turn on and off."""
# ruff: noqa: SIM905

from __future__ import annotations

import click
import pytest

from tiphys.apiserver.admission.chain import NAMES
from tiphys.cmd.admission_flags import switched

UPSTREAM = """
    AlwaysAdmit NamespaceAutoProvision NamespaceLifecycle NamespaceExists LimitPodHardAntiAffinityTopology
    LimitRanger ServiceAccount NodeRestriction TaintNodesByCondition AlwaysPullImages ImagePolicyWebhook
    PodSecurity PodNodeSelector Priority DefaultTolerationSeconds PodTolerationRestriction EventRateLimit
    ExtendedResourceToleration DefaultStorageClass StorageObjectInUseProtection
    OwnerReferencesPermissionEnforcement PersistentVolumeClaimResize RuntimeClass CertificateApproval
    CertificateSigning ClusterTrustBundleAttest CertificateSubjectRestriction DefaultIngressClass
    DenyServiceExternalIPs PodTopologyLabels NodeDeclaredFeatureValidator PodResizeValidator
    MutatingAdmissionPolicy MutatingAdmissionWebhook ValidatingAdmissionPolicy ValidatingAdmissionWebhook
    ResourceQuota AlwaysDeny
""".split()
"""In the order in which they are asked."""


@pytest.mark.parametrize(
    ("enable", "disable", "on", "off"),
    [
        ("", "", (), ()),
        ("NodeRestriction", "", ("NodeRestriction",), ()),
        ("EventRateLimit,PodSecurity", "Priority,LimitRanger", ("EventRateLimit", "PodSecurity"),
         ("Priority", "LimitRanger")),
        ("", "AlwaysPullImages", (), ("AlwaysPullImages",)),
    ],
)  # fmt: skip
def test_what_is_on_and_off(enable: str, disable: str, on: tuple[str, ...], off: tuple[str, ...]) -> None:
    assert switched(enable, disable) == (on, off)


@pytest.mark.parametrize(
    ("enable", "disable", "says"),
    [
        ("Foo", "", 'enable-admission-plugins plugin "Foo" is unknown'),
        ("", "Foo", 'disable-admission-plugins plugin "Foo" is unknown'),
        ("", "RbacEscalation", 'disable-admission-plugins plugin "RbacEscalation" is unknown'),
        (
            "PodSecurity,Priority", "Priority",
            "[Priority] in enable-admission-plugins and disable-admission-plugins overlapped",
        ),
    ],
)  # fmt: skip
def test_refused(enable: str, disable: str, says: str) -> None:
    with pytest.raises(click.BadParameter) as caught:
        switched(enable, disable)
    assert caught.value.message == says


def test_plugins_stand_in_upstreams_order() -> None:
    assert [name for name in NAMES if name in UPSTREAM] == UPSTREAM
    switched(",".join(UPSTREAM), "")
