"""Exit code 0 if the server of this container answers: `python healthy.py [PORT]`.

By https, else by http, as it is served behind a proxy. Whose certificate it is does not matter on the way to oneself.
Standard library only.
"""

import contextlib
import ssl
import sys
import urllib.error
import urllib.request

PORT = 7860
_PATIENCE_S = 4.0


def is_healthy(port: int = PORT) -> bool:
    """Whether a server at this port of this machine says that it lives."""
    unchecked = ssl.create_default_context()
    unchecked.check_hostname, unchecked.verify_mode = False, ssl.CERT_NONE
    for scheme in ("https", "http"):
        with contextlib.suppress(OSError):  # nobody listens, or speaks the other way
            address = f"{scheme}://127.0.0.1:{port}/healthz"
            with urllib.request.urlopen(address, timeout=_PATIENCE_S, context=unchecked) as answer:  # noqa: S310 - above
                return bool(answer.status == 200)
    return False


if __name__ == "__main__":
    sys.exit(0 if is_healthy(*map(int, sys.argv[1:2])) else 1)
