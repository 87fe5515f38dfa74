"""Where tokens come from: a login service that fails is asked again, one that says stop is believed."""

import pytest

from holdfast.client.errors import ClientStopped
from holdfast.client.tokens import Tokens, TokenUnavailable


class Login:
    """Answers with what it was given, one after the other."""

    def __init__(self, *answers: str | Exception) -> None:
        self.answers = list(answers)

    async def __call__(self) -> str:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


async def test_a_token_that_never_changes_is_never_forgotten() -> None:
    tokens = Tokens("t")
    tokens.forget()
    assert (tokens.is_static, await tokens.latest(), await tokens.fresh()) == (True, "t", "t")


async def test_the_hook_is_asked_for_every_fresh_one_and_not_for_the_latest() -> None:
    tokens = Tokens(Login("one", "two"))
    assert [await tokens.latest(), await tokens.latest(), await tokens.fresh(), await tokens.latest()] == [
        "one",
        "one",
        "two",
        "two",
    ]


async def test_after_a_refusal_the_hook_is_asked_again() -> None:
    tokens = Tokens(Login("one", "two"))
    await tokens.latest()
    tokens.forget()
    assert await tokens.latest() == "two"


async def test_a_hook_that_fails_may_work_later() -> None:
    tokens = Tokens(Login(RuntimeError("503"), "one"))
    with pytest.raises(TokenUnavailable, match="RuntimeError"):
        await tokens.fresh()
    assert await tokens.fresh() == "one"


async def test_a_hook_may_say_that_the_user_has_to_log_in_again() -> None:
    with pytest.raises(ClientStopped, match="logged_out"):
        await Tokens(Login(ClientStopped("logged_out", "come back with a password"))).fresh()
