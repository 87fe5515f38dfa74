"""Which absent users are notified of a message, and how does the notification leave?"""
