"""The front of `holdfast up`: one port that serves the chat page and spreads everything else over the instances.

It knows nothing about conversations and keeps nothing: no stickiness, no session, no cookie. Each connection goes to the
instance with the fewest, and what an instance sends is passed on byte by byte. It is for one machine; in a cluster the
Service and the ingress do this.

head: the first request head, parsed and bounded · backends: which instance takes the next connection · page: the chat
page's files · answers: what the front says itself · pipe: bytes both ways · server: the listening socket
"""
