"""What the API server calls itself: webhooks, what serves behind Services, other API servers."""
