"""Which messages of a conversation are delivered to which local connections, and in which order?"""
