"""How does a frame reach the sockets of this instance?"""
