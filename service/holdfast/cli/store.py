"""`holdfast store renew`: a new generation, after a backup was restored, with instances running or not.

The store is that of `HOLDFAST_STORE__URL`, as instances read it, or of `--url`. It must be there already: a wrong address
must not become a new, empty store. Exit code 2 when nothing was changed, or when the store did not say whether it was.
"""

import argparse
import asyncio
import os
import sys
from pathlib import Path
from typing import Final

from holdfast import settings
from holdfast.bootstrap import message_store
from holdfast.errors import ConfigurationError, StoreError, StoreUnavailable
from holdfast.ports import Store, Unwatched

_SQLITE: Final = "sqlite:///"
_PATIENCE_SECONDS: Final = 15.0  # the first contact with Firestore may have to fetch credentials
_PAUSE_SECONDS: Final = 0.5


def run(args: argparse.Namespace) -> int:
    """Renew it, and say what follows.

    Raises:
        ConfigurationError: no store is named, or there is none at this address.
    """
    environ = dict(os.environ)
    if args.url is not None:
        environ["HOLDFAST_STORE__URL"] = args.url
    store = settings.load(environ).store
    if store.url is not None and store.url.startswith(_SQLITE) and not Path(store.url.removeprefix(_SQLITE)).is_file():
        raise ConfigurationError(f"{store.url}: there is no such file; HOLDFAST_STORE__URL or --url names the instances' store")
    try:
        before, after = asyncio.run(_renew(store))
    except StoreError as error:
        print(f"holdfast store renew: {store.url}: {error}; run it again, that does no harm", file=sys.stderr)
        return 2
    print(f"{store.url}: generation {before} is now {after}")
    print("Running instances close all sockets and begin anew within seconds. Clients connect again; for every conversation of")
    print("theirs they are told `reset`: what they have is discarded, and fetched again from the store.")
    return 0


async def _renew(named: settings.StoreSettings) -> tuple[str, str]:
    """The generation before and after."""
    store = message_store(named, Unwatched())
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            return await _until_it_answers(store)
    except TimeoutError:
        raise StoreUnavailable(f"no answer within {_PATIENCE_SECONDS:.0f} s") from None
    finally:
        await store.close()


async def _until_it_answers(store: Store) -> tuple[str, str]:
    """Renewing twice does no harm: what counts is that the generation is another one than before."""
    while True:
        try:
            await store.open(may_create=False)
            if not (before := await store.generation()):
                raise ConfigurationError(
                    "this store holds no generation: it is empty, or none of Holdfast's; an instance that starts sets it up"
                )
            return before, await store.renew()
        except StoreUnavailable:
            await asyncio.sleep(_PAUSE_SECONDS)
