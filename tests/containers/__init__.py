"""Tests with real containers: images, topologies, and peers that are killed, stopped, paused and cut off."""
