"""One file per subresource that is more than a part of its object."""
