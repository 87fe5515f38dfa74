"""The rules of the chat: ids, messages, conversations, the sequencer, presence, limits.

Pure: no I/O, no clock (time is an argument), no library but the standard one.
"""
