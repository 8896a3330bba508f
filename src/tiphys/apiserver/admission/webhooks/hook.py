"""One webhook of a configuration, its selectors and conditions read. Pure."""

from __future__ import annotations

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.meta import Object
from tiphys.apiserver.admission.matching import Match, read_match
from tiphys.apiserver.admission.policies.conditions import Conditions, read_conditions
from tiphys.apiserver.admission.webhooks.review import VERSIONS


@dataclass(frozen=True, slots=True)
class Hook:
    """A webhook with its selectors read."""

    key: str
    """Unique: configuration, name and position."""
    name: str
    configuration: str
    spec: Object
    match: Match
    conditions: Conditions

    @property
    def ignores_failure(self) -> bool:
        return self.spec.get("failurePolicy") == "Ignore"

    @property
    def reinvocable(self) -> bool:
        return self.spec.get("reinvocationPolicy") == "IfNeeded"

    @property
    def timeout_s(self) -> int:
        return int(self.spec.get("timeoutSeconds") or 10)

    @property
    def review_version(self) -> str | None:
        """The version of reviews that it wants: its first one that there is."""
        wanted = self.spec.get("admissionReviewVersions") or ()
        return next((version for version in wanted if version in VERSIONS), None)

    @property
    def without_side_effects(self) -> bool:
        return self.spec.get("sideEffects") in ("None", "NoneOnDryRun")


def read_hooks(configuration: Object, origin: str = "") -> list[Hook]:
    """Return the webhooks of a configuration in its order; ``origin`` tells it from others of its name."""
    name = configuration["metadata"]["name"]
    return [
        Hook(
            f"{origin}{name}/{spec['name']}/{position}",
            spec["name"],
            name,
            spec,
            read_match(spec, "rules"),
            read_conditions(spec.get("matchConditions")),
        )
        for position, spec in enumerate(configuration.get("webhooks") or ())
    ]
