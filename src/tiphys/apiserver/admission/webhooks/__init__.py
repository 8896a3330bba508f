"""Admission webhooks: which are concerned by a write, the call, and what their answers do."""
