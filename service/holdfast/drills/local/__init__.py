"""A cluster of real processes on this machine, with a network between them that can be broken."""
