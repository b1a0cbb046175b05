"""Numbers pass through stages that find their prime factors; a sink adds up what was found, and tells the source."""
