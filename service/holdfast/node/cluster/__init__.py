"""What do this instance and the others know of each other: which of them live, which Redis they see, what time it is?"""
