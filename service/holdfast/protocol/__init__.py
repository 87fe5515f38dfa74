"""The data on the wires: frames of clients, envelopes between nodes, REST bodies, codes. No I/O, no clock."""
