"""The schedule of the probe: a message each way all the time, and once a round one of every other step.

A round: a send by REST, the same `client_message_id` again at any instance, a fresh conversation with its first message, a
reconnect of one of the two users, and the removal of conversations left by earlier rounds or probes. Every step is counted with
its result, and its failure is logged. No step ends the probe, and a loop that fails by a defect is started again.
"""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final, NoReturn

from holdfast.client import ClientStopped, SendFailed
from holdfast.probe.calls import CallFailed, Calls, Token
from holdfast.probe.judge import Judge
from holdfast.probe.measures import Measures
from holdfast.probe.side import Side

_PREFIX: Final = "probe-"  # of the ids of fresh conversations
_LEFT_BEHIND: Final = timedelta(minutes=10)  # a round of another run is over by then, whatever happens
_TRIES: Final = 12  # reconnects at the start, until the two are at different instances
_TRIES_LATER: Final = 3  # in each round
_AGAIN_SECONDS: Final = 1.0
_JUDGE_SECONDS: Final = 1.0
_LOOK_SECONDS: Final = 0.05

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Plan:
    """Whom the probe talks to, and how often. `urls`: of the service; `users`: two ids that nothing else uses.

    Attributes:
        interval_seconds: between two messages of each user.
        round_seconds: between two rounds.
        answer_seconds: what takes longer has failed.
        loss_seconds: see `Judge`.
    """

    urls: tuple[str, ...]
    users: tuple[str, str]
    interval_seconds: float
    round_seconds: float
    answer_seconds: float
    loss_seconds: float


class Prober:
    """One probe. `run` until cancelled, once."""

    def __init__(self, plan: Plan, tokens: tuple[Token, Token], measures: Measures) -> None:
        """Connects to nothing yet. `tokens`: how to get one for each user."""
        self._plan = plan
        self._measures = measures
        self._judge = judge = Judge(plan.users, plan.loss_seconds)
        self._one = Side(0, plan.users[0], plan.urls, tokens[0], judge, measures)
        self._other = Side(1, plan.users[1], plan.urls, tokens[1], judge, measures)
        self._calls = tuple(Calls(plan.urls, token, plan.answer_seconds) for token in tokens)
        self._run_id = secrets.token_hex(6)
        self._number = 0
        self._rounds = 0
        self._conversation = ""
        self._is_apart = True
        self._latest: tuple[str, str] | None = None  # key and body of the last message of the first user that was acknowledged

    async def run(self) -> None:
        """Probe until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_for_ever(self._watch))
                self._conversation = await self._begin()
                self._judge.follow(self._conversation, is_new=False)
                for side in (self._one, self._other):
                    group.create_task(_for_ever(side.run))
                while not all([await side.ready(self._plan.answer_seconds) for side in (self._one, self._other)]):
                    _log.warning("waiting for both users to be connected")
                await self._part(_TRIES)
                _log.info("probing", extra={"fields": {"run": self._run_id, "conversation": self._conversation}})
                for side in (self._one, self._other):
                    group.create_task(_for_ever(partial(self._talk, side)))
                group.create_task(_for_ever(self._go_round))
        finally:
            for calls in self._calls:
                await calls.close()

    async def _begin(self) -> str:
        """The conversation that all probes of these two users share."""
        while True:
            try:
                return await self._calls[0].direct(self._other.user)
            except CallFailed as error:
                self._measures.tried("create", is_ok=False)
                _log.warning("the conversation cannot be opened", extra={"fields": {"error": error}})
            await asyncio.sleep(_AGAIN_SECONDS)

    # --- all the time -------------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        """Judge, and count what was found."""
        loop = asyncio.get_running_loop()
        while True:
            verdict = self._judge.check(loop.time())
            self._measures.judged(verdict)
            for found in verdict.violations:
                fields = {"kind": found.kind, "user": self._plan.users[found.user], "conversation": found.conversation}
                _log.error("violation", extra={"fields": fields | {"seq": found.seq, "detail": found.detail}})
            for side in (self._one, self._other):
                side.look(self._plan.answer_seconds)
            self._count_instances()
            await asyncio.sleep(_JUDGE_SECONDS)

    def _count_instances(self) -> None:
        self._measures.instances.set(len({self._one.instance_id, self._other.instance_id} - {""}))

    async def _talk(self, side: Side) -> None:
        """A message every interval. A send that takes several of them counts as several attempts."""
        loop, interval = asyncio.get_running_loop(), self._plan.interval_seconds
        while True:
            began_at = loop.time()
            async with side.busy:
                asked_at = loop.time()
                sent = await self._say(side, self._conversation)
            seconds = loop.time() - asked_at
            if sent is None:
                self._measures.tried("send", is_ok=False, times=max(1, int(seconds / interval)))
            else:
                self._measures.tried("send", is_ok=True)
                self._measures.ack.observe(seconds)
                self._latest = sent if side is self._one else self._latest
            await asyncio.sleep(max(0.0, began_at + interval - loop.time()))

    async def _say(self, side: Side, conversation: str) -> tuple[str, str] | None:
        """Send over the socket; key and body when it was acknowledged in time."""
        key, body = self._next()
        try:
            await side.send(conversation, key, body, self._plan.answer_seconds)
        except (SendFailed, ClientStopped, TimeoutError) as error:
            fields = {"user": side.user, "key": key, "error": str(error) or type(error).__name__}
            _log.warning("a send was not acknowledged", extra={"fields": fields})
            return None
        return key, body

    def _next(self) -> tuple[str, str]:
        """Key and text of a message; both name the probe, so that what an earlier one left is not mistaken for its own."""
        self._number += 1
        key = f"{self._run_id}-{self._number}"
        return key, f"probe {key} \N{BUTTERFLY}"  # not ASCII: a wrong encoding shows

    # --- once a round -------------------------------------------------------------------------------------------------

    async def _go_round(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            began_at = loop.time()
            await self._try("rest_send", self._send_by_rest())
            if self._latest is not None:
                await self._try("retry", self._send_again(*self._latest))
            await self._talk_afresh()
            await self._reconnect((self._one, self._other)[self._rounds % 2])
            for user, calls in zip(self._plan.users, self._calls, strict=True):
                await self._leave_old(user, calls)
            self._rounds += 1
            await asyncio.sleep(max(_AGAIN_SECONDS, began_at + self._plan.round_seconds - loop.time()))

    async def _try(self, step: str, work: Awaitable[None]) -> bool:
        """Count an attempt; whether it succeeded. What a call or a send raises ends here."""
        try:
            await work
        except (CallFailed, SendFailed, ClientStopped, TimeoutError) as error:
            self._measures.tried(step, is_ok=False)
            _log.warning("failed", extra={"fields": {"step": step, "error": str(error) or type(error).__name__}})
            return False
        self._measures.tried(step, is_ok=True)
        return True

    async def _send_by_rest(self) -> None:
        loop = asyncio.get_running_loop()
        key, body = self._next()
        self._judge.sent(0, self._conversation, key, body, loop.time())
        seq, _ = await self._calls[0].send(self._conversation, key, body)
        self._judge.acknowledged(key, seq, loop.time())

    async def _send_again(self, key: str, body: str) -> None:
        """A message that was acknowledged, under the same id: the judge sees when it is stored twice."""
        seq, is_duplicate = await self._calls[0].send(self._conversation, key, body)
        self._judge.acknowledged(key, seq, asyncio.get_running_loop().time())
        if not is_duplicate:
            raise CallFailed("an acknowledged message was taken for a new one")

    async def _talk_afresh(self) -> None:
        """A new conversation and its first message; both users leave it when they have seen that, or it is lost."""
        conversation = f"{_PREFIX}{self._run_id}-{self._rounds}"
        starter, listener = ((0, 1), (1, 0))[self._rounds % 2]
        side = (self._one, self._other)[starter]
        self._judge.follow(conversation, is_new=True)
        is_created = await self._try("create", self._calls[starter].create(conversation, self._plan.users[listener]))
        if is_created:
            await self._try("first_message", self._say_first(side, conversation))
        self._judge.forget(conversation)
        if is_created:
            for user, calls in zip(self._plan.users, self._calls, strict=True):
                await self._try("leave", calls.leave(conversation, user))

    async def _say_first(self, side: Side, conversation: str) -> None:
        async with side.busy:
            key, body = self._next()
            await side.send(conversation, key, body, self._plan.answer_seconds)
        loop = asyncio.get_running_loop()
        # Longer than the judge waits: a loss is noticed before the conversation is forgotten.
        until = loop.time() + self._plan.loss_seconds + 2 * _JUDGE_SECONDS
        while not self._judge.is_shown_to_all(conversation):
            if loop.time() > until:
                raise TimeoutError
            await asyncio.sleep(_LOOK_SECONDS)

    async def _reconnect(self, side: Side) -> None:
        async with side.busy:
            await side.renew(self._plan.answer_seconds)
        await self._part(_TRIES_LATER)

    async def _part(self, tries: int) -> None:
        """Reconnect the second user until the two are at different instances; there may be only one."""
        for _ in range(tries):
            if self._one.instance_id != self._other.instance_id:
                break
            async with self._other.busy:
                await self._other.renew(self._plan.answer_seconds)
        is_apart = self._one.instance_id != self._other.instance_id
        if is_apart != self._is_apart:
            told = "the two users are at different instances" if is_apart else "only one instance can be reached"
            _log.log(logging.INFO if is_apart else logging.WARNING, told)
        self._is_apart = is_apart
        self._count_instances()

    async def _leave_old(self, user: str, calls: Calls) -> None:
        """What earlier rounds and probes could not leave: else the lists of these users would fill up."""
        with contextlib.suppress(CallFailed, ValueError, KeyError):
            for each in await calls.conversations():
                if is_left_behind(each["conversation_id"], each["created_at"], self._run_id, datetime.now(UTC)):
                    await self._try("leave", calls.leave(each["conversation_id"], user))


def is_left_behind(conversation: str, created_at: str, run_id: str, now: datetime) -> bool:
    """Whether it is a fresh conversation of a round that is over, of this run or of an earlier one.

    Raises:
        ValueError: `created_at` is no time.
    """
    if not conversation.startswith(_PREFIX):
        return False
    return conversation.startswith(f"{_PREFIX}{run_id}-") or now - datetime.fromisoformat(created_at) > _LEFT_BEHIND


async def _for_ever(work: Callable[[], Awaitable[object]]) -> NoReturn:
    """Only cancellation ends it."""
    while True:
        try:
            await work()
        except Exception:  # noqa: BLE001 - a mistake of ours must not leave the service unwatched
            _log.exception("a part of the probe failed and is started again")
        await asyncio.sleep(_AGAIN_SECONDS)
