"""Rehearsed failures with a verdict: what clients saw is written down, and judged."""
