"""Holdfast: a chat service that holds on while pods die, Redis disappears and deployments roll."""

__version__ = "0.1.0"
