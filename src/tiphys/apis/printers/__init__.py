"""Tables as the server prints them: ``table_for`` finds the printer of a kind."""

from tiphys.apis.printers.base import Printer, column
from tiphys.apis.printers.registry import table_for

__all__ = ["Printer", "column", "table_for"]
