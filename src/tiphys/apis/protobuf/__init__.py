"""The binary form of built-in kinds. ``codec`` is the way in."""
