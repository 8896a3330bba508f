"""Webhooks and policies of admission that a server has from files of its own."""
