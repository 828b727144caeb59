"""TLS towards others: whose certificates are taken."""

import ssl


def context_of(ca_file: str | None, key: str) -> ssl.SSLContext:
    """What the certificates of others are checked with.

    Args:
        ca_file: PEM file with the authorities that they may come from; the system's when None.
        key: what people call the file's place in the configuration.

    Raises:
        ValueError: the file cannot be used.
    """
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise ValueError(f"{key} cannot be used: {fault_of(error, 'no certificate in it')}") from None


def fault_of(error: OSError, content: str) -> str:
    """Why a file cannot be used: it cannot be read, or OpenSSL does not like what is in it.

    Args:
        error: what was raised.
        content: what is said of what is in it.
    """
    return content if isinstance(error, ssl.SSLError) else error.strerror or content
