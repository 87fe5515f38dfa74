"""Measurements of one instance, alone or beside other servers, in rounds. Each round judges order, losses and duplicates.

workloads: what is measured · dialects: how clients speak to a server · holdfast, peers: the servers · load, client: the load
client (`load.c`, `python_load.py`) and its process · play: one workload at one server, once · judge: what a member must not see
rounds: all of it, interleaved · spread, table: what is shown · machine: where it was measured · idle: memory of connections
"""
