"""Pod Security Standards: levels, their checks by version, and the namespace labels that choose them."""
