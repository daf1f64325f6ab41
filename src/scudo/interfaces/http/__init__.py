"""HTTP/1.1 over the operation table: application, server, OpenAPI. Translation only."""

from scudo.interfaces.http.app import Application
from scudo.interfaces.http.limits import Limits
from scudo.interfaces.http.openapi import openapi_document, refusals_of
from scudo.interfaces.http.server import HttpServer
from scudo.interfaces.http.signatures import Nonces, SignatureCheck
from scudo.interfaces.http.system import Check, Readiness, System
from scudo.interfaces.http.tls import ALARM_BEFORE_US, ServerTls, TlsFiles, TlsUnfit

__all__ = [
    "ALARM_BEFORE_US",
    "Application",
    "Check",
    "HttpServer",
    "Limits",
    "Nonces",
    "Readiness",
    "ServerTls",
    "SignatureCheck",
    "System",
    "TlsFiles",
    "TlsUnfit",
    "openapi_document",
    "refusals_of",
]
