"""Nodes without a server train a regression together: each sends its weights to all others, and averages what comes."""
