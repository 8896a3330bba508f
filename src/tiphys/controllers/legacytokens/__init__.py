"""Secrets of service account tokens that nobody uses any more: marked first, removed later."""
