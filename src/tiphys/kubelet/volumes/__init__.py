"""Volumes of pods: what they hold, and their life on the node."""
