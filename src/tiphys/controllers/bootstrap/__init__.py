"""Bootstrap tokens: removing those whose time is over, signing what new nodes are to trust."""
