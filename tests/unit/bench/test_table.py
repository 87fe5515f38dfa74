"""The table, and the JSON."""

from holdfast.bench.judge import Verdict
from holdfast.bench.play import Outcome
from holdfast.bench.rounds import Turn
from holdfast.bench.table import Column, Report, line, markdown, plain, readable
from holdfast.bench.workloads import Pace, Workload

FAN_OUT = Workload("fan-out-10", "fan-out to 10 members", Pace.DELIVERIES, 10)
KEY = "deliveries_per_second"
OURS, PEER, ABSENT = (
    Column("Holdfast", "Python 3"),
    Column("ws on Node", "ws 8", "stores nothing"),
    Column("Socket.IO on Node", "", "", "node is not installed"),
)


def turn(number: int, server: str, value: float, share: float = 0.3, problem: str = "") -> Turn:
    """One of the only workload."""
    verdict = Verdict(lost=2) if problem else Verdict()
    return Turn(number, FAN_OUT.name, server, Outcome({KEY: value}, share, verdict, problem))


def report(*turns: Turn) -> Report:
    """On a machine with two cores."""
    return Report({"cores": 2}, (OURS, PEER, ABSENT), (FAN_OUT,), turns, (PEER.name, ABSENT.name))


def test_row_has_medians_with_their_limits_and_the_ratio() -> None:
    """The warm-up does not count, and no ratio is given to a server that does not run here."""
    rows = markdown(
        report(
            *(turn(0, name, 1.0) for name in (OURS.name, PEER.name)),
            *(turn(number, OURS.name, number * 100_000.0) for number in (1, 2, 3)),
            *(turn(number, PEER.name, number * 50_000.0) for number in (1, 2, 3)),
        )
    ).splitlines()
    assert rows[0] == "| workload | unit | Holdfast | ws on Node | Socket.IO on Node | Holdfast ÷ ws on Node |"
    assert rows[2] == "| fan-out to 10 members | deliveries/s ↑ | 200k (100k-300k) | 100k (50k-150k) | — | 2.00 |"
    assert rows[4].startswith("Median of 3 rounds")


def test_legend_says_what_each_server_does_not_do_or_why_it_is_absent() -> None:
    """A figure of a server that stores nothing is no figure of one that does."""
    text = markdown(report(turn(1, OURS.name, 1.0), turn(1, PEER.name, 1.0)))
    assert "* **ws on Node** (ws 8): stores nothing.\n" in text
    assert "* **Socket.IO on Node** does not run here: node is not installed.\n" in text
    assert "In every round each member received each message once" in text


def test_figure_near_the_limit_of_the_load_client_is_marked() -> None:
    """It says how fast the client is, and not the server."""
    near = markdown(report(turn(1, OURS.name, 1.0, share=0.9), turn(1, PEER.name, 1.0)))
    assert "| 1 (1-1) † | 1 (1-1) |" in near
    assert "near its limit" in line(turn(1, OURS.name, 1.0, share=0.9), FAN_OUT)


def test_round_with_a_loss_is_a_failure_even_in_the_warm_up() -> None:
    """The command fails by it."""
    found = report(turn(0, OURS.name, 1.0, problem="2 lost"), turn(1, OURS.name, 1.0), turn(1, PEER.name, 1.0))
    assert found.failures == ["Holdfast, fan-out-10, warm-up: 2 lost"]
    assert "**Not as sent:**" in markdown(found)
    assert plain(found)["failures"] == found.failures


def test_json_has_every_turn_and_the_machine() -> None:
    """A reader makes other figures of it."""
    told = plain(report(turn(1, OURS.name, 5.0, 0.5), turn(1, PEER.name, 4.0)))
    assert told["machine"] == {"cores": 2}
    assert told["turns"] == [
        {"round": 1, "workload": "fan-out-10", "server": server, KEY: value, "client_share": share, "orders": 1, "problem": ""}
        | dict.fromkeys(("lost", "doubled", "disordered", "foreign"), 0)
        for server, value, share in (("Holdfast", 5.0, 0.5), ("ws on Node", 4.0, 0.3))
    ]
    of_summary = {"workload": "fan-out-10", "figure": KEY}
    assert told["summary"] == [
        of_summary | {"server": server, "median": value, "low": value, "high": value}
        for server, value in (("Holdfast", 5.0), ("ws on Node", 4.0))
    ]


def test_numbers_have_three_digits() -> None:
    """More would promise a precision that no machine has."""
    shown = [readable(value) for value in (1_421_000, 790_400, 89_120, 5_802, 744.2, 7.621, 0.3512, 0)]
    assert shown == ["1.42M", "790k", "89.1k", "5,802", "744", "7.62", "0.351", "0"]
