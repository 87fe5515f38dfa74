"""What a drill changes on a cluster for longer than its own life, and the command that restores it.

It is kept in an annotation, so that another process can restore it. Only these kinds are restored, with names that Kubernetes
allows: an account that may write the annotation decides nothing else about the commands that an operator's kubectl runs.
"""

from collections.abc import Sequence
from typing import Annotated

import msgspec

from holdfast.launcher.waiting import TargetFailed

_Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$", max_length=253)]


class Uncordon(msgspec.Struct, frozen=True, tag_field="type", tag="uncordon"):
    """The node takes pods again."""

    node: _Name

    @property
    def command(self) -> tuple[str, ...]:
        """Of kubectl."""
        return ("uncordon", self.node)

    @property
    def told(self) -> str:
        """In words."""
        return f"node {self.node} uncordoned"


class Scale(msgspec.Struct, frozen=True, tag_field="type", tag="scale"):
    """The Deployment has that many replicas again."""

    deployment: _Name
    replicas: Annotated[int, msgspec.Meta(ge=0, le=100_000)]

    @property
    def command(self) -> tuple[str, ...]:
        """Of kubectl."""
        return ("scale", f"deployment/{self.deployment}", f"--replicas={self.replicas}")

    @property
    def told(self) -> str:
        """In words."""
        return f"deployment {self.deployment} scaled to {self.replicas}"


Restore = Uncordon | Scale


def encoded(restores: Sequence[Restore]) -> str:
    """For the annotation."""
    return msgspec.json.encode(restores).decode()


def decoded(text: str) -> list[Restore]:
    """From the annotation.

    Raises:
        TargetFailed: it is not valid.
    """
    try:
        return msgspec.json.decode(text, type=list[Restore])
    except msgspec.MsgspecError as error:
        raise TargetFailed(f"what the last drill left cannot be read: {error}: {text[:200]}") from None
