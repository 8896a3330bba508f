"""The sets of libraries that the API's expressions have.

Source: "Common Expression Language in Kubernetes", the table of libraries by version.
"""

from __future__ import annotations

from tiphys.apimachinery.cel.functions import Library
from tiphys.apimachinery.cel.library import (
    addresses,
    authorizers,
    collections,
    formats,
    optionals,
    patches,
    patterns,
    quantities,
    semvers,
    standard,
    strings,
    urls,
)

KUBERNETES: tuple[Library, ...] = (
    standard.LIBRARY,
    optionals.LIBRARY,
    standard.TWO_VARIABLES,
    strings.LIBRARY,
    collections.LISTS,
    collections.SETS,
    patterns.LIBRARY,
    urls.LIBRARY,
    addresses.LIBRARY,
    quantities.LIBRARY,
    formats.LIBRARY,
    semvers.LIBRARY,
    authorizers.LIBRARY,
)
"""What every expression in the API may use."""

WITH_BINDINGS: tuple[Library, ...] = (*KUBERNETES, standard.BINDINGS)
"""With ``cel.bind``, which only the selectors of devices have."""

WITH_PATCHES: tuple[Library, ...] = (*KUBERNETES, patches.LIBRARY)
"""With ``jsonpatch.escapeKey``, which only mutations have."""
