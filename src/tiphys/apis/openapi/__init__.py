"""OpenAPI v2 and v3: what a server says of its kinds, in JSON and protobuf. ``documents`` is the way in."""
