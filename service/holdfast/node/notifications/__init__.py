"""Who is notified of a message because they are away, and how does the notification leave?"""
