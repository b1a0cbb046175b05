"""What can be done to the members of a run, and undone: one vocabulary for every runner."""
