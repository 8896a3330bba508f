"""Admission by expressions: policies, their bindings and parameters, and match conditions of webhooks too."""
