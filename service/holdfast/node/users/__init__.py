"""What is known of a user: presence, read cursors, blocks, revoked tokens, the conversations of the user?"""
