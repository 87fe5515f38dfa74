"""Carries facts between Kubernetes and the instances: conditions, Events and deletion costs one way, deaths the other.

Never needed for correctness: without it the instances learn everything from leases and heartbeats, a little later.
"""
