"""What may a client ask for, and which part carries it out?"""
