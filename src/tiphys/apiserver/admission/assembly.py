"""From options to the chain of admission plugins. Called by ``ApiServer``.

Owns: which plugins flags and feature gates turn on and off. The order of plugins is the ``chain``'s.
"""

from __future__ import annotations

from typing import Final

from tiphys.apimachinery.clock import Clock
from tiphys.apimachinery.featuregates import using
from tiphys.apiserver.admission import configuration
from tiphys.apiserver.admission.chain import AdmissionChain
from tiphys.apiserver.options import ApiServerOptions

_GATED_PLUGINS: Final = {
    "MutatingAdmissionPolicy": "MutatingAdmissionPolicy",
    "PodTopologyLabelsAdmission": "PodTopologyLabels",
}
"""Feature gate to the admission plugin that is its feature."""


def assemble(options: ApiServerOptions, clock: Clock) -> AdmissionChain:
    """Return the plugins that are on. Raises BadConfiguration."""
    said = configuration.read(options.admission_config)
    with using(options.feature_gates):
        on, off = options.enabled_admission, _switched_off(options)
        return AdmissionChain(enabled=on, disabled=off, configuration=said, clock=clock)


def _switched_off(options: ApiServerOptions) -> tuple[str, ...]:
    """Return the plugins that a flag or a feature gate turns off."""
    gated = [plugin for gate, plugin in _GATED_PLUGINS.items() if not options.feature_gates.enabled(gate)]
    return (*options.disabled_admission, *gated)
