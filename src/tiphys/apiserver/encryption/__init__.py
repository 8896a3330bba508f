"""Encryption at rest: a layer between the watch cache and the store that seals what is written."""
