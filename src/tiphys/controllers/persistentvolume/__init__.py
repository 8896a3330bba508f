"""The persistentvolume controller."""
