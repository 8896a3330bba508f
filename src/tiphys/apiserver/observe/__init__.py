"""What is counted and traced of requests, under upstream's names."""
