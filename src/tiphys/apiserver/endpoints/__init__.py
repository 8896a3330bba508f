"""How requests are read and answered: routing, options, bodies, media types, discovery, OpenAPI."""
