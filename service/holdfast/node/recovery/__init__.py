"""How is the unfinished work of a dead instance completed, and how does this instance find what it missed?"""
