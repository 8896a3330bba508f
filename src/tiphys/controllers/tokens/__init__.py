"""The service account tokens controller."""
