"""Plays one scenario with the Python client, and says what came of it in the words of README.md."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from client_conformance.judge import Played
from client_conformance.server import Json, ScriptedServer, contains
from holdfast.client import Client, ClientStopped, SendFailed
from support.eventually import eventually


class Play(Played):
    """Played in this process."""

    def __init__(self, scenario: Json) -> None:
        super().__init__(scenario)
        self._commands: dict[str, asyncio.Task[None]] = {}

    async def run(self, server: ScriptedServer) -> None:
        """Everything that the scenario's client does, within the scenario's bound.

        Raises:
            TimeoutError: it takes longer than `within_seconds`.
        """
        wanted = expanded(self.scenario.get("client", {}))
        urls = [url.replace("PORT", str(server.port)) for url in wanted.get("urls", ["http://127.0.0.1:PORT"])]
        options: dict[str, Any] = {"cursors": wanted.get("cursors", {})}
        options |= {name: wanted[name] for name in ("name", "generation") if name in wanted}
        try:
            client = Client(wanted.get("urls_as_text", urls), _token(wanted.get("token", "token")), **options)
        except (TypeError, ValueError) as error:
            self.refused = str(error)
            return
        async with asyncio.timeout(self.scenario.get("within_seconds", 5)):
            async with self._listening(client):
                for step in self.scenario.get("steps", []):
                    ((verb, argument),) = step.items()
                    await getattr(self, f"_do_{verb}")(client, server, argument)
            self.cursors = client.cursors
        await asyncio.gather(*self._commands.values())

    @contextlib.asynccontextmanager
    async def _listening(self, client: Client) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(self._take_messages(client)), asyncio.create_task(self._take_events(client))]
        await asyncio.sleep(0)  # both listen before anything can happen
        async with client:
            try:
                yield
            finally:
                self.cursors = client.cursors
                await client.close()
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _take_messages(self, client: Client) -> None:
        try:
            async for message in client.messages():
                self.shown.append(f"{message.conversation_id}:{message.seq}")
        except ClientStopped as stopped:
            self.stopped = {"code": stopped.code, "detail": stopped.detail}

    async def _take_events(self, client: Client) -> None:
        with contextlib.suppress(ClientStopped):
            async for event in client.events():
                told = ("code", "detail", "error", "conversation_id")
                fields = {name: getattr(event, name) for name in told if hasattr(event, name)}
                self.events.append({"event": type(event).__name__.removesuffix("Notice").lower(), **fields})

    # --- the verbs of a scenario --------------------------------------------------------------------------------------

    async def _do_send(self, client: Client, _: ScriptedServer, wanted: Json) -> None:
        fields = expanded(wanted)
        options = {name: fields[name] for name in ("metadata", "client_message_id") if name in fields}
        conversation_id, body = fields.get("conversation_id", "c"), fields.get("body", "text")
        await self._command(fields, lambda: client.send(conversation_id, body, **options))

    async def _do_read(self, client: Client, _: ScriptedServer, wanted: Json) -> None:
        fields = expanded(wanted)
        await self._command(fields, lambda: client.read(fields.get("conversation_id", "c"), fields["message_id"]))

    async def _do_typing(self, client: Client, _: ScriptedServer, wanted: Json) -> None:
        fields = expanded(wanted)
        await self._command(fields, lambda: client.typing(fields["conversation_id"], active=fields.get("active", True)))

    async def _do_await(self, _: Client, __: ScriptedServer, names: list[str]) -> None:
        await asyncio.gather(*(self._commands[name] for name in names))

    async def _do_await_event(self, _: Client, __: ScriptedServer, wanted: Json) -> None:
        await eventually(lambda: any(contains(event, wanted) for event in self.events), within=60)

    async def _do_await_stop(self, _: Client, __: ScriptedServer, ___: object) -> None:
        await eventually(lambda: self.stopped is not None, within=60)

    async def _do_await_shown(self, _: Client, __: ScriptedServer, wanted: list[str]) -> None:
        await eventually(lambda: set(wanted) <= set(self.shown), within=60)

    async def _do_await_server(self, _: Client, server: ScriptedServer, wanted: Json) -> None:
        await eventually(lambda: any(contains(entry, wanted) for entry in server.log), within=60)

    async def _do_open(self, _: Client, server: ScriptedServer, gate: str) -> None:
        server.gate(gate).set()

    async def _do_look(self, _: Client, __: ScriptedServer, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def _command(self, fields: Json, call: Callable[[], Awaitable[object]]) -> None:
        async def settle() -> None:
            try:
                answer = await call()
                self.outcomes[fields["as"]] = {"done": True, **({"seq": answer.seq} if hasattr(answer, "seq") else {})}
            except SendFailed as failed:
                error = {name: getattr(failed, name) for name in ("code", "detail", "outcome", "retryable")}
                self.outcomes[fields["as"]] = {"error": error}
            except ClientStopped as stopped:
                self.outcomes[fields["as"]] = {"error": {"code": stopped.code, "detail": stopped.detail}}
            except Exception as error:  # noqa: BLE001 - whatever a client raises, it is judged by the scenario
                self.outcomes[fields["as"]] = {"raised": repr(error)}

        self._commands[fields["as"]] = asyncio.create_task(settle())
        await asyncio.sleep(0)


def expanded(value: Any) -> Any:
    """A scenario's value with its `$` forms made real; see README.md."""
    if isinstance(value, list):
        return [expanded(each) for each in value]
    if not isinstance(value, dict):
        return value
    match value:
        case {"$repeat": text, "times": times}:
            return str(text) * int(times)
        case {"$number": text}:
            return float(text)
        case {"$bytes": text}:
            return str(text).encode()
        case {"$object": _}:
            return object()
        case {"$nested": levels}:
            nested: dict[str, Any] = {}
            for _ in range(levels - 1):
                nested = {"deeper": nested}
            return nested
        case {"$cursors": count, "id_length": length, "seq": seq}:
            return {f"{number:0{length}d}": seq for number in range(count)}
        case {"$numbered": member}:
            return {1: member}
        case _:
            return {name: expanded(each) for name, each in value.items()}


def _token(wanted: Any) -> Any:
    """A text; or a hook that gives these answers in turn, the last one again and again."""
    if not isinstance(wanted, dict):
        return wanted
    answers = list(wanted["hook"])

    async def hook() -> Any:
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        match answer:
            case {"fails": detail}:
                raise RuntimeError(detail)
            case {"cancelled": _}:
                raise asyncio.CancelledError
            case {"stops": code}:
                raise ClientStopped(code, "log in again")
            case _:
                return expanded(answer)

    if wanted.get("is_plain_function"):
        return lambda: answers[0]
    return hook
