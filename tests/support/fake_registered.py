"""A lease and a presence for tests of other things."""

from holdfast.domain.ids import UserId
from holdfast.node.connections.connection import Connection


class FakeRegistered:
    """`missed_users`: of connections that ended before the store was told."""

    def __init__(self) -> None:
        self.missed_users: list[UserId] = []

    async def register(self, _: Connection) -> int:
        return 1

    def expect(self, _: UserId) -> None: ...

    def note_conversations(self, _: UserId, __: object) -> None: ...

    async def arrived(self, _: UserId, __: float) -> None: ...

    def missed(self, user_id: UserId, _: float) -> None:
        self.missed_users.append(user_id)

    def heard(self, _: UserId, __: float) -> None: ...

    def left(self, _: UserId) -> None: ...

    def unregister(self, _: Connection) -> None: ...
