"""API aggregation: APIServices, local and remote, and the requests that remote ones answer."""
