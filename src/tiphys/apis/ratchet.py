"""What an object had before it may keep: faults that an update is excused because they were there already.

Rules become stricter over time. An update of an object that broke a newer rule before is not held to it, so
that its owner can still change the rest. Each kind names the rules that upstream treats so. (Its generated
validation, which looks at nothing that stays, answers nobody in v1.36 where a kind had rules before.)

Source: the ``Allow...`` options of k8s.io/kubernetes validation, set from the old object.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.meta import Object
from tiphys.apis.core.addresses import LEGACY_TEXTS

Validate = Callable[[Object], list[FieldError]]
ValidateUpdate = Callable[[Object, Object], list[FieldError]]


@dataclass(frozen=True, slots=True)
class Excuse:
    """Faults of one rule: the fields that they are of, and words of their texts, any of several."""

    field: re.Pattern[str]
    words: str | tuple[str, ...] = ""
    same_value: bool = False
    """Only the values that were there already are excused, wherever they are now."""

    def covers(self, fault: FieldError) -> bool:
        words = (self.words,) if isinstance(self.words, str) else self.words
        return self.field.search(fault.field) is not None and any(one in fault.detail for one in words)

    def excuses(self, fault: FieldError, before: list[FieldError]) -> bool:
        """Whether the fault is one that there was among ``before`` as well."""
        if not self.covers(fault):
            return False
        return any(
            self.covers(other) and (other.detail == fault.detail or not self.same_value) for other in before
        )


SELECTOR_VALUES = Excuse(re.compile(r"\.matchExpressions\[\d+\]\.values\[\d+\]$"))
"""Values in a label selector that no label can have."""

NODE_VALUES = Excuse(
    re.compile(r"^spec\.nodeAffinity\.required\..*\.matchExpressions\[\d+\]\.values\[\d+\]$")
)
"""Values that no label of a node can have, in what a volume asks of its node."""

LEGACY_ADDRESSES = tuple(Excuse(re.compile(""), words, same_value=True) for words in LEGACY_TEXTS)
"""Addresses and ranges that were let through before they were held to one spelling."""

_AFFINITY = r"\.affinity\."
POD_EXCUSES = (
    Excuse(re.compile(_AFFINITY + r"pod(Anti)?Affinity\..*elector\.matchExpressions\[\d+\]\.values\[\d+\]$")),
    Excuse(re.compile(_AFFINITY + r"nodeAffinity\.required.*\.matchExpressions\[\d+\]\.values\[\d+\]$")),
    Excuse(re.compile(r"\.topologySpreadConstraints\[\d+\]\.labelSelector")),
    Excuse(re.compile(r"\.topologySpreadConstraints\[\d+\]\["), "exists in both"),
    Excuse(re.compile(r"\.resources\.(limits|requests)\[hugepages-"), "is not positive integer multiple"),
    Excuse(re.compile(r"\.securityContext\.sysctls\[\d+\]\.name$"), "may not be specified when 'host"),
    Excuse(re.compile(r"\.volumes\[\d+\]\.projected\.path$"), "must "),
    Excuse(re.compile(r"\.annotations\[controller\.kubernetes\.io/pod-deletion-cost\]$")),
    Excuse(re.compile(r"\.resizePolicy\[\d+\]\.restartPolicy$"), "for non-sidecar initContainers"),
    Excuse(re.compile(r"\.securityContext\.seLinuxChangePolicy$"), 'value: "MountOption"'),
    Excuse(re.compile(r"\.tolerations\[\d+\]\.operator$"), '"Gt"'),
    Excuse(re.compile(r"\.(hostNetwork|volumeDevices)$"), "when `hostUsers` is false"),
    Excuse(re.compile(r"\.volumes\[\d+\]\.image\.reference$")),
    Excuse(
        re.compile(r"\.restartPolicyRules(\[\d+\]\.action)?$"),
        ('value: "RestartAllContainers"', "for sidecar containers"),
    ),
    *LEGACY_ADDRESSES,
)
"""What pods, and the templates of workloads, are excused."""


def excused(
    faults: list[FieldError], had: Callable[[], list[FieldError]], excuses: Sequence[Excuse]
) -> list[FieldError]:
    """Return the faults without those that the object had before; ``had`` is asked only where it matters."""
    wanted = [excuse for excuse in excuses if any(map(excuse.covers, faults))]
    if not wanted:
        return faults
    before = had()
    return [fault for fault in faults if not any(excuse.excuses(fault, before) for excuse in wanted)]


def ratcheted(validate_update: ValidateUpdate, validate: Validate, *excuses: Excuse) -> ValidateUpdate:
    """Return an update's validation that excuses what ``validate`` says of the old object."""

    def validation(new: Object, old: Object) -> list[FieldError]:
        return excused(validate_update(new, old), lambda: validate(old), excuses)

    return validation


def kept_addresses(validate: Validate, key: str) -> ValidateUpdate:
    """Return the validation of an update that excuses addresses only where all under ``key`` stays."""

    def validation(new: Object, old: Object) -> list[FieldError]:
        faults = validate(new)
        if not faults or new.get(key) != old.get(key):
            return faults
        return [fault for fault in faults if not any(excuse.covers(fault) for excuse in LEGACY_ADDRESSES)]

    return validation


def kept(validate: Validate, key: str) -> ValidateUpdate:
    """Return the validation of an update that looks at what is under ``key`` only where that changes."""

    def validation(new: Object, old: Object) -> list[FieldError]:
        faults = validate(new)
        if not faults or new.get(key) != old.get(key):
            return faults
        return [fault for fault in faults if not fault.field.startswith(key)]

    return validation
