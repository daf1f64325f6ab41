"""HTTP/1.1 over the operation table: application, server, OpenAPI. Translation only."""

from scudo.interfaces.http.app import Application
from scudo.interfaces.http.limits import Limits
from scudo.interfaces.http.openapi import openapi_document, refusals_of
from scudo.interfaces.http.server import HttpServer
from scudo.interfaces.http.signatures import Nonces, SignatureCheck
from scudo.interfaces.http.system import Check, Readiness, System

__all__ = [
    "Application",
    "Check",
    "HttpServer",
    "Limits",
    "Nonces",
    "Readiness",
    "SignatureCheck",
    "System",
    "openapi_document",
    "refusals_of",
]
