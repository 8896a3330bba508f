"""Two plugins of old: one that lets everything pass, one that lets nothing pass."""

from __future__ import annotations

from tiphys.apiserver.admission.attributes import Attributes


class AlwaysAdmit:
    """Has no opinion on anything."""

    NAME = "AlwaysAdmit"


class AlwaysDeny:
    """Refuses every write and every connection."""

    NAME = "AlwaysDeny"

    async def admit(self, attributes: Attributes) -> None:
        raise attributes.refuse("admission control is denying all modifications")

    async def validate(self, attributes: Attributes) -> None:
        raise attributes.refuse("admission control is denying all modifications")
