"""Drills on a real cluster, with kubectl and through the front door."""
