"""The machine that the process runs on, as the kernel tells it."""
