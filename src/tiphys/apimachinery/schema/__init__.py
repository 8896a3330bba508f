"""Structural schemas: one tree of nodes for built-in kinds and CRDs, and the walkers over it."""

from tiphys.apimachinery.schema.node import MISSING, Schema

__all__ = ["MISSING", "Schema"]
