"""The whole cluster, its clients and its faults in one process, in virtual time, from one seed. README.md beside this file."""
