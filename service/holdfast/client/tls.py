"""Whom clients believe: the machine's authorities, read once per process. Reading them takes 20 ms in which nothing else runs."""

import ssl
from functools import cache


@cache
def authorities() -> ssl.SSLContext:
    """For sockets and REST alike. `SSL_CERT_FILE` and `SSL_CERT_DIR` name others, as everywhere with OpenSSL.

    Authorities that are replaced on disk are believed by the next process.
    """
    return ssl.create_default_context()
