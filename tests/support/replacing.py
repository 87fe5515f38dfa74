"""How an alteration puts something else in the place of a mechanism."""


def replace(owner: object, name: str, by: object) -> None:
    """Put something else in its place.

    Raises:
        AttributeError: there is nothing of that name any more; the mechanism would be on, and its test show nothing.
    """
    getattr(owner, name)
    setattr(owner, name, by)
