"""Audit: who asked for what, kept as a policy says."""
