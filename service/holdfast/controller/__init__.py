"""What Kubernetes and the instances tell each other: conditions, Events and deletion costs one way, deaths the other.

Never needed for correctness: without it leases and beats find everything out, a little later.
"""
