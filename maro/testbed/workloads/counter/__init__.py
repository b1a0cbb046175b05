"""Numbered messages of every kind between a learner and its actors, for a checker to judge."""
