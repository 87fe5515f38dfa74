"""What do this instance and the others know of each other: who is alive, which Redis they see, what time it is?"""
