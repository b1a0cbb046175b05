"""Two learners train policies of their own from the episodes of the same actors, and end together."""
