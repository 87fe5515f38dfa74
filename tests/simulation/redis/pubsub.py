"""Channels and their subscribers."""

from simulation.redis.commands import command
from simulation.redis.replies import NO_REPLY, Reply, encode
from simulation.redis.state import Client, State
from simulation.redis.users import matches


@command("publish", 3, "pubsub loading stale fast")
def publish(state: State, client: Client, words: list[bytes]) -> Reply:
    hearing = state.subscribers.get(words[0])
    if not hearing:
        return 0
    data = encode([b"message", *words])
    count = len(hearing)
    for each in list(hearing):
        each.send(data)  # a subscriber whose buffer is full is dropped by it
    return count


@command("subscribe", -2, "pubsub noscript loading stale")
def subscribe(state: State, client: Client, words: list[bytes]) -> Reply:
    for channel in words:
        state.hear(client, channel)
        client.push([b"subscribe", channel, len(client.channels)])
    return NO_REPLY


@command("unsubscribe", -1, "pubsub noscript loading stale")
def unsubscribe(state: State, client: Client, words: list[bytes]) -> Reply:
    for channel in words or list(client.channels):
        state.forget(client, channel)
        client.push([b"unsubscribe", channel, len(client.channels)])
        words = words or [channel]
    if not words:
        client.push([b"unsubscribe", None, 0])
    return NO_REPLY


@command("pubsub|channels", -2, "pubsub loading stale")
def channels(state: State, client: Client, words: list[bytes]) -> Reply:
    return [channel for channel in state.subscribers if not words or matches(words[0], channel)]
