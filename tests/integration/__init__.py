"""Components of a group with a real Redis and real processes, crashes included."""
