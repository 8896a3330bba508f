"""Proxies between this server and what it calls (``--egress-selector-config-file``)."""
