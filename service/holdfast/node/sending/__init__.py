"""How does a send become a committed message, exactly once?"""
