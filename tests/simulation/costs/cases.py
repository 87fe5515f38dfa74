"""The events of the table, each on a cluster that serves: what was before, and what happens once."""

import asyncio
from functools import partial

from simulation.costs.measuring import Act, Phone, Scene

C = "c0"


async def _conversations(scene: Scene, number: int, *users: str) -> None:
    """Of each of these users, with a friend who is offline and was never there."""
    for user in users or ("ann",):
        for each in range(number):
            await scene.create(f"{user}-{each}", user, f"friend-{user}-{each}")


async def _came_and_left(scene: Scene, *users: str, at: str = "i1") -> None:
    """They were connected, and their grace is over."""
    phones = [await scene.phone(user, at) for user in users]
    for phone in phones:
        phone.leave()
    await scene.pass_grace()


# --- connections --------------------------------------------------------------------------------------------------------


async def connect_cold(scene: Scene, conversations: int) -> Act:
    """A user whose conversations neither the instance nor Redis knows."""
    await _conversations(scene, conversations)
    scene.redis.run("DEL", "member:ann")
    return partial(scene.phone, "ann", "i2")


async def connect_listed(scene: Scene, conversations: int) -> Act:
    """Redis has the list, because the user was connected to another instance within ten minutes."""
    await _conversations(scene, conversations)
    await _came_and_left(scene, "ann", at="i1")
    return partial(scene.phone, "ann", "i2")


async def connect_without_redis(scene: Scene, conversations: int) -> Act:
    """Redis is away. The conversations are older than a minute: no bulletin names them any more."""
    await _conversations(scene, conversations)
    scene.cluster.redis["r1"].kill()
    await scene.pass_time(70.0)
    return partial(scene.phone, "ann", "i2")


async def _reconnect(scene: Scene, conversations: int, at: str) -> Act:
    await _conversations(scene, conversations)
    phone = await scene.phone("ann", "i1")

    async def act() -> None:
        phone.leave()
        await asyncio.sleep(0.5)
        await phone.connect(at)

    return act


async def reconnect_same(scene: Scene, conversations: int) -> Act:
    """The connection ends and the next one begins within the grace, at the same instance."""
    return await _reconnect(scene, conversations, "i1")


async def reconnect_other(scene: Scene, conversations: int) -> Act:
    """The same, at another instance."""
    return await _reconnect(scene, conversations, "i2")


async def leave(scene: Scene, conversations: int) -> Act:
    """The last connection of a user ends, and the grace passes."""
    await _conversations(scene, conversations)
    phone = await scene.phone("ann", "i1")

    async def act() -> None:
        phone.leave()

    return act


# --- messages -----------------------------------------------------------------------------------------------------------


async def _talking(scene: Scene, members: int) -> list[Phone]:
    """A conversation of so many connected users, the last one at i1, the others at i2; each has sent a message."""
    await scene.create(C, *(f"u{each + 1}" for each in range(members)))
    phones = [await scene.phone(f"u{each + 1}", "i1" if each == members - 1 else "i2") for each in range(members)]
    for phone in phones:
        phone.send(C, 1)
        await scene.pass_time(0.5)
    return phones


async def send(scene: Scene, members: int) -> Act:
    """One message, alone; all members are connected."""
    phones = await _talking(scene, members)

    async def act() -> None:
        phones[-1].send(C, 2)

    return act


async def send_without_redis(scene: Scene, members: int) -> Act:
    """The same, while Redis is away. No bulletin names what was done before."""
    phones = await _talking(scene, members)
    scene.cluster.redis["r1"].kill()
    await scene.pass_time(70.0)

    async def act() -> None:
        phones[-1].send(C, 2)

    return act


async def accept(scene: Scene, members: int) -> Act:
    """The first message of a member whom another one has added; all are connected, and the others have sent."""
    await _talking(scene, members)
    await scene.call("u1", "PUT", f"/api/conversations/{C}/members/new")
    new = await scene.phone("new", "i2")

    async def act() -> None:
        new.send(C, 1)

    return act


async def send_at_once(scene: Scene, messages: int) -> Act:
    """So many messages of one user in one batch; two members, both connected."""
    phones = await _talking(scene, 2)

    async def act() -> None:
        phones[-1].send_at_once(C, messages)

    return act


async def send_in_a_row(scene: Scene, messages: int) -> Act:
    """So many messages of one user, each a millisecond after the one before; two members, both connected.

    All between two ticks of 50 ms: a tick that comes between two of them removes the mark, and the next one needs its own.
    """
    phones = await _talking(scene, 2)
    await scene.pass_time(0.02)

    async def act() -> None:
        for number in range(messages):
            phones[-1].send(C, 2 + number)
            await scene.pass_time(0.001)

    return act


async def send_to_absent(scene: Scene, absent: int) -> Act:
    """One message to so many members who are offline and are notified."""
    names = [f"away{each + 1}" for each in range(absent)]
    await scene.create(C, "ann", *names)
    await _came_and_left(scene, *names, at="i2")
    ann = await scene.phone("ann", "i1")

    async def act() -> None:
        ann.send(C, 1)

    return act


async def receipt(scene: Scene, members: int) -> Act:
    """One member reads the last message; all are connected."""
    phones = await _talking(scene, members)
    phones[0].send(C, 2)

    async def act() -> None:
        phones[-1].read(C, members + 1)

    return act


# --- conversations ------------------------------------------------------------------------------------------------------


async def create(scene: Scene, members: int) -> Act:
    """By a connected user, with so many members in all; the others are offline."""
    await scene.phone("ann", "i1")
    names = ["ann", *(f"friend{each}" for each in range(members - 1))]
    return partial(scene.create, C, *names)


async def add_member(scene: Scene, members: int) -> Act:
    """A user more in a conversation of so many connected members; the new one is connected to another instance."""
    await _talking(scene, members)
    await scene.phone("new", "i2")
    return partial(scene.call, "u1", "PUT", f"/api/conversations/{C}/members/new")


# --- the cluster --------------------------------------------------------------------------------------------------------


async def _users(scene: Scene, number: int, *instances: str) -> list[Phone]:
    """So many users of that instance, each with one conversation with an offline friend."""
    names = [f"u{each + 1}" for each in range(number)]
    await _conversations(scene, 1, *names)
    return [await scene.phone(name, *instances) for name in names]


async def kill(scene: Scene, users: int) -> Act:
    """The instance of so many users dies, and they do not come back."""
    phones = await _users(scene, users, "i1")

    async def act() -> None:
        for phone in phones:
            phone.stop()
        scene.cluster.instances["i1"].kill()

    return act


async def kill_and_return(scene: Scene, users: int) -> Act:
    """The instance of so many users dies, and they connect to another one at once."""
    await _users(scene, users, "i1", "i2")

    async def act() -> None:
        scene.cluster.instances["i1"].kill()

    return act


async def flush(scene: Scene, users: int) -> Act:
    """FLUSHALL with so many users online."""
    await _users(scene, users, "i1")

    async def act() -> None:
        scene.redis.flush_all()

    return act


async def drain(scene: Scene, users: int) -> Act:
    """SIGTERM at an instance of so many users, who connect to another one."""
    await _users(scene, users, "i1", "i2")
    return scene.cluster.instances["i1"].drain
