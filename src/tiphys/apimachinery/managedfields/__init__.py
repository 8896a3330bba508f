"""Who set which field: the bookkeeping of ``metadata.managedFields``, and server-side apply on top of it.

``update`` follows creates, updates and patches; ``apply`` is server-side apply.
"""

from tiphys.apimachinery.managedfields.apply import apply, claimed_fields, described_object
from tiphys.apimachinery.managedfields.update import update

__all__ = ["apply", "claimed_fields", "described_object", "update"]
