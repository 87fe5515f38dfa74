"""Whether every instance knows every connection: what `GET /connections/info` tells each user when all is over."""

from typing import Final

from simulation import rest
from simulation.context import Context
from simulation.people import People

_SETTLED_SECONDS: Final = 20.0  # after its opening or its end a connection is, or is not, in the registry of every instance


async def check_lists(context: Context, people: People, *, is_spoiled: bool) -> None:
    """Ask every instance on behalf of every user, and write down which lists are wrong.

    `is_spoiled`: a fault deleted records of single users. They come back with the next registration; instances have to agree.
    """
    for person in people.persons.values():
        lists = {url: await _listed(context, person.user, url) for url in context.urls()}
        known = {connection for listed in lists.values() for connection in listed}
        before = context.loop.now - _SETTLED_SECONDS
        wanted = {name for device in person.devices for name, t in device.watched.open.items() if t < before}
        ended = {name for device in person.devices for name, t in device.watched.ended.items() if t < before}
        for url, listed in lists.items():
            lacking = (wanted & known if is_spoiled else wanted) - listed
            if lacking or ended & listed:
                told = f"lacks {', '.join(sorted(lacking)) or 'none'}, and has of those that ended {len(ended & listed)}"
                context.history.record("unserved", user=person.user, code=f"the list of connections at {url} {told}")


async def _listed(context: Context, user: str, url: str) -> set[str]:
    answer = await rest.call(url, context.token(user), "GET", "/api/connections/info")
    return {each["connection_id"] for each in answer.content.get("connections", ())}
