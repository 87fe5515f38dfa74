"""How does a connection begin, catch up, and end?"""
