"""What can become of a request before its answer is whole. Of each kind it is known whether anything was sent."""

from __future__ import annotations


class WireError(Exception):
    """An exchange that broke."""


class NotSent(WireError):  # noqa: N818 - these read as what happened
    """Nothing of the request has left."""


class Unsendable(NotSent):
    """The request can't be written: a header of two lines, a URL of another protocol."""


class NameFailed(NotSent):
    """The host's name did not resolve; the cause is the look-up's."""


class ConnectFailed(NotSent):
    """No address of the host took the connection; the cause is the system's."""


class ConnectTimedOut(NotSent):
    """No connection was made in time."""


class HandshakeFailed(NotSent):
    """TLS was not agreed upon; the cause is OpenSSL's."""


class CertificateRefused(HandshakeFailed):
    """Nobody who is trusted vouches for the host's certificate."""


class ClosedEarly(WireError):  # noqa: N818 - the same
    """The connection was closed before an answer came."""


class BrokenOff(WireError):  # noqa: N818 - the same
    """The connection was lost in the middle of the answer."""


class NotHttp(WireError):  # noqa: N818 - the same
    """What came is no answer of HTTP/1.1, or one beyond every bound."""
