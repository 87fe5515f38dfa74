"""Starts the processes of a cluster on this machine: instances, a Redis, a Firestore emulator.

Each listens on the loopback, is awaited until it is ready, and is ended by its process id. `holdfast bench`, the drills and the
tests start their processes here. `holdfast up` takes programs and ports from here, but starts its parts by scripts
(`cli/up/part.py`): a user runs the same scripts again, and the parts must survive Ctrl-C in the terminal.

process: one process · instance, redis, emulator: the kinds · ports, waiting, open_files, costs: what they need
"""
