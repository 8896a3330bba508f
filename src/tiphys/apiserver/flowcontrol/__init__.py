"""API priority and fairness: who is served now, who waits, who is turned away."""
