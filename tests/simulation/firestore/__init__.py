"""A simulated Firestore at the level of its calls, for the real adapter and the real library in virtual time.

`FirestoreServer` is what is stored and what goes wrong; `connecting(server, name)` makes the client of one process, which
`bootstrap.Machine` takes as its way to Firestore.
"""

from simulation.firestore.client import Connect, connecting
from simulation.firestore.documents import Backup
from simulation.firestore.exchange import Exchange
from simulation.firestore.faults import Fault, Faults, contention, lost_answer, lost_request, refused, unavailable
from simulation.firestore.place import PROJECT, SimulatedFirestore
from simulation.firestore.refusals import Status
from simulation.firestore.server import EVERYONE, FirestoreServer

__all__ = [
    "EVERYONE",
    "PROJECT",
    "Backup",
    "Connect",
    "Exchange",
    "Fault",
    "Faults",
    "FirestoreServer",
    "SimulatedFirestore",
    "Status",
    "connecting",
    "contention",
    "lost_answer",
    "lost_request",
    "refused",
    "unavailable",
]
