"""What is done to objects, whatever their kind, and the objects themselves as handlers see them."""
