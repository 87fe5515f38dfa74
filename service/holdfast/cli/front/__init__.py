"""The front of `holdfast up`: one port that serves the chat page and spreads everything else over the instances.

It has no knowledge of conversations and keeps no state: no stickiness, no session, no cookie. Each connection goes to the
instance with the fewest, and the answer of an instance is passed on byte by byte. The front is for one machine; in a cluster the
Service and the ingress do this.

head: the first request head, parsed and bounded · backends: which instance takes the next connection · page: the chat
page's files · answers: the front's own answers · pipe: bytes both ways · server: the listening socket
"""
