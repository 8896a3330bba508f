"""What every request passes, in upstream's order: what is it about, who sends it, may they, how long."""
