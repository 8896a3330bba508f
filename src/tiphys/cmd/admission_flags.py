"""``--enable-admission-plugins`` and ``--disable-admission-plugins``: which plugins are on."""

from __future__ import annotations

import logging
from typing import Final

import click

from tiphys.apiserver.admission.chain import NAMES

log = logging.getLogger(__name__)

_ALWAYS: Final = frozenset({"CertificateRequests", "DeviceAdminAccess", "DeviceTaintTimes", "RbacEscalation"})
"""Rules that are no plugins of their own upstream: nobody turns them off."""
_BUILT: Final = NAMES - _ALWAYS | {
    "CertificateApproval",
    "CertificateSigning",
    "CertificateSubjectRestriction",
    "AlwaysAdmit",
}
"""What works here, under upstream's names; the certificates' plugins are one of ours."""
_KNOWN: Final = _BUILT | {
    *("AlwaysDeny", "AlwaysPullImages", "ClusterTrustBundleAttest", "DenyServiceExternalIPs"),
    *("EventRateLimit", "ExtendedResourceToleration"),
    *("ImagePolicyWebhook", "LimitPodHardAntiAffinityTopology"),
    *("NamespaceAutoProvision", "NamespaceExists", "NodeDeclaredFeatureValidator"),
    *("OwnerReferencesPermissionEnforcement", "PodNodeSelector", "PodTolerationRestriction"),
}


def switched_off(enable: str, disable: str) -> tuple[str, ...]:
    """Return the plugins that are to be left out.

    Raises click.BadParameter for names that no plugin has. One that is not built here cannot be turned on:
    that is said, as a cluster may lean on it.
    """
    on, off = _names(enable), _names(disable)
    for flag, names in (("enable", on), ("disable", off)):
        for name in names:
            if name not in _KNOWN:
                raise click.BadParameter(
                    f'{flag}-admission-plugins plugin "{name}" is unknown',
                    param_hint=f"--{flag}-admission-plugins",
                )
    both = sorted(set(on) & set(off))
    if both:
        raise click.BadParameter(
            f"[{' '.join(both)}] in enable-admission-plugins and disable-admission-plugins overlapped",
            param_hint="--enable-admission-plugins",
        )
    for name in on:
        if name not in _BUILT:
            log.warning("admission plugin %s is not built here, it stays off", name)
    return off


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for name in text.split(",") if name)
