"""After a read in a large conversation, or an addition: a later look at what the store has, when no memory is older than it."""

from holdfast.domain.ids import ConversationId, Seq, UserId
from holdfast.errors import StoreUnavailable
from holdfast.node.notifications.second_look import DELAY_SECONDS, KNOWN_SECONDS, SecondLooks
from holdfast.node.tasks import Tasks
from holdfast.telemetry import Telemetry
from support.virtual_time import LoopClock, in_virtual_time, passed, settled

C, ANN, BOB = ConversationId("c1"), UserId("ann"), UserId("bob")


class Scene:
    """Counts what is cleared and looked at, with the time."""

    def __init__(self) -> None:
        self.clock = LoopClock()
        self.began = self.clock.monotonic()
        self.cleared: list[float] = []
        self.looked: list[tuple[float, UserId, Seq]] = []
        self.failures = 0
        self.looks = SecondLooks(Tasks(), Telemetry("test"), self._clear, self._look)

    @property
    def now(self) -> float:
        """Seconds since the beginning."""
        return round(self.clock.monotonic() - self.began, 1)

    async def _clear(self, _: ConversationId, user_id: UserId) -> None:
        if self.failures:
            self.failures -= 1
            raise StoreUnavailable("away")
        self.cleared.append(self.now)

    async def _look(self, _: ConversationId, user_id: UserId, after_seq: Seq) -> None:
        self.looked.append((self.now, user_id, after_seq))


@in_virtual_time
async def test_a_read_clears_the_record_at_once_and_is_looked_after_when_no_instance_remembers_it() -> None:
    """An instance that committed meanwhile, and remembered the record, has left the reader out."""
    scene = Scene()
    scene.looks.begin(C, BOB, 7, has_read=True)
    await settled()
    assert scene.cleared == [0]
    await passed(DELAY_SECONDS + 1)
    assert scene.looked == [(DELAY_SECONDS, BOB, 7)]
    assert DELAY_SECONDS > KNOWN_SECONDS + 1


@in_virtual_time
async def test_a_user_who_reads_on_has_the_record_cleared_once_in_each_delay_and_is_looked_after_at_the_end() -> None:
    """Each read of each member of a large conversation would be a write otherwise."""
    scene = Scene()
    for seq in range(1, 11):
        scene.looks.begin(C, BOB, seq, has_read=True)
        await passed(1)
    await passed(2 * DELAY_SECONDS)
    assert scene.cleared == [0, DELAY_SECONDS, 2 * DELAY_SECONDS]
    assert scene.looked == [(3 * DELAY_SECONDS, BOB, 10)]


@in_virtual_time
async def test_a_member_who_was_added_is_looked_after_and_nothing_is_cleared() -> None:
    """Instances that have not heard of the addition do not decide about the newcomer."""
    scene = Scene()
    scene.looks.begin(C, ANN, 3, has_read=False)
    scene.looks.begin(C, BOB, 4, has_read=False)
    await passed(DELAY_SECONDS + 1)
    assert (scene.cleared, scene.looked) == ([], [(DELAY_SECONDS, ANN, 3), (DELAY_SECONDS, BOB, 4)])


@in_virtual_time
async def test_a_store_that_is_away_is_asked_again_and_the_delay_begins_after_its_answer() -> None:
    """A record that is cleared late is remembered late."""
    scene = Scene()
    scene.failures = 4
    scene.looks.begin(C, BOB, 7, has_read=True)
    await passed(DELAY_SECONDS + 5)
    assert (scene.cleared, scene.looked) == ([2.0], [(2.0 + DELAY_SECONDS, BOB, 7)])
