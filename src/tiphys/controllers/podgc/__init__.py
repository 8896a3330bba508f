"""The podgc controller."""
