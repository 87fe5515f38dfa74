"""What `holdfast up` says in the terminal. Commands stand on lines of their own, unwrapped, to be copied."""

import shlex
import sys

from rich.console import Console
from rich.markup import escape
from rich.text import Text

from holdfast.cli.program import command
from holdfast.cli.up import redis
from holdfast.cli.up.part import Part
from holdfast.cli.up.plan import Plan

_USERS = ("user123", "user456")  # those of the acceptance guide


class Report:
    """Prints, and only prints."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False)

    def summary(self, plan: Plan) -> None:
        """Everything there is, how to stop it, how to start it again, and what to do first."""
        page = f"http://localhost:{plan.port}"
        self._say("\n[bold green]Holdfast is up.[/] Ctrl-C ends all of it; what you stop yourself stays stopped.\n")
        self._row("chat page", f"{page}/")
        self._row("fleet", f"{page}/fleet   every part, with buttons that kill, freeze and start it")
        self._row("API", f"{page}/api/health   {page}/api/docs")
        self._row("store", str(plan.data / "holdfast.db") if plan.has_own_store else "as HOLDFAST_STORE__URL says")
        self._row("redis", redis.cli(plan.redis.port) if plan.redis else "as HOLDFAST_REDIS__URL says")
        self._row("token", command("token", _USERS[0], "--data", str(plan.data)))
        self._row("logs", str(plan.data / "logs"))
        if plan.prometheus is not None:
            self._row("metrics", f"Prometheus http://127.0.0.1:{plan.prometheus.port}   alerts at /alerts")
        for part in plan.parts:
            self._part(part, plan.redis is part)
        self._first_steps(page, plan)

    def lost(self, part: Part) -> None:
        """A part is gone."""
        pid = part.pid
        what = f"does not answer (pid {pid})" if pid else f"is gone ({part.ending})"
        self._event("red", part.name, f"{what}. Start it again: ", shlex.quote(str(part.script)))

    def back(self, part: Part) -> None:
        """A part is there again."""
        pid = part.pid
        self._event("green", part.name, f"is back (pid {pid}). Kill it: " if pid else "is back.", f"kill -9 {pid}" if pid else "")

    def ending(self) -> None:
        """Ctrl-C was heard."""
        self._say("\nEnding all parts …  [dim](Ctrl-C again: at once)[/]")

    def ended(self) -> None:
        """Nothing runs any more."""
        self._say(f"Everything has ended. Messages are kept; [bold]{escape(command(*sys.argv[1:]))}[/] goes on with them.")

    def note(self, text: str) -> None:
        """One line to read once."""
        self._say(f"[yellow]{escape(text)}[/]")

    def waiting(self, names: str) -> None:
        """Parts are being started."""
        self._say(f"[dim]Starting {names} …[/]")

    def _part(self, part: Part, is_redis: bool) -> None:
        at = f"127.0.0.1:{part.port}" if is_redis else f"http://localhost:{part.port}"
        self._say(f"\n  [bold]{part.name}[/]  {at}  pid [bold]{part.pid}[/]")
        self._row("kill", f"kill -9 {part.pid}", indent=4)
        self._row("stop", part.recipe.stop.format(pid=part.pid), indent=4)
        self._row("start", shlex.quote(str(part.script)), indent=4)

    def _first_steps(self, page: str, plan: Plan) -> None:
        self._say("\n  [bold]Your first conversation[/]")
        self._say(f"  1. Open [cyan]{page}/?user={_USERS[0]}[/] and, in a second window, [cyan]{page}/?user={_USERS[1]}[/]")
        self._say(f"  2. In the first, press “Start a conversation with {_USERS[1]}”, and write to each other.")
        self._say(
            f"  3. Kill the instance that one window names, such as [cyan]kill -9 {plan.instances[0].pid}[/], and write on.\n"
        )

    def _row(self, name: str, value: str, indent: int = 2) -> None:
        line = Text(" " * indent)
        line.append(f"{name:<{12 - indent}}", style="dim").append(value, style="cyan")
        self._console.print(line, soft_wrap=True)

    def _event(self, colour: str, name: str, text: str, command: str) -> None:
        line = Text.assemble((f"● {name} ", f"bold {colour}"), text, (command, "cyan"))
        self._console.print(line, soft_wrap=True)

    def _say(self, markup: str) -> None:
        self._console.print(markup, soft_wrap=True)


def explain(part: Part) -> str:
    """Why a part did not start, in its own last words."""
    words = part.last_words()
    return f"{part.name} did not start ({part.ending}); its log is {part.log}" + (f"\n{words}" if words else "")
