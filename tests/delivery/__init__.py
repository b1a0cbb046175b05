"""What is promised about delivery, with real processes that are killed."""
