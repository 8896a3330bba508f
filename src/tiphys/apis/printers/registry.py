"""Finds the printer of a kind: one ordered list of modules, and name and age for all else."""

from __future__ import annotations

from tiphys.apimachinery.meta import GVK
from tiphys.apis.printers import access, cluster, extension, network, pods, volumes, workloads
from tiphys.apis.printers.base import GENERIC, Printer, Rows

_MODULES = (pods, workloads, network, cluster, volumes, access, extension)

PRINTERS: Rows = {key: printer for module in _MODULES for key, printer in module.PRINTERS.items()}


def table_for(gvk: GVK) -> Printer:
    """Return a kind's printer; all versions of a kind share one."""
    return PRINTERS.get((gvk.group, gvk.kind), GENERIC)
