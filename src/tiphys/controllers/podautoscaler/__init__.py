"""The podautoscaler controller."""
