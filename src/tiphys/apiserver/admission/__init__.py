"""What the server changes or refuses on writes, in one ordered list (``chain.PLUGINS``)."""
