"""Schemathesis: whatever the OpenAPI document allows or forbids, the bank keeps its word."""

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import positive_data_acceptance

from scudo.interfaces.table import describe_without_bank

DOCUMENT = describe_without_bank()
OPERATIONS = {
    operation["operationId"]: (path, method.upper())
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
}
#: Operations that take something, so that something can be wrong with it.
TAKING = [
    name
    for name, (path, method) in OPERATIONS.items()
    if {"parameters", "requestBody"}
    & {key for key, taken in DOCUMENT["paths"][path][method.lower()].items() if taken}
]
EXAMPLES = 6
#: How what breaks the schema is refused: also for being larger than anything that is read.
REFUSED = SchemathesisConfig.from_dict(
    {
        "checks": {
            "negative_data_rejection": {
                "expected-statuses": [
                    400,
                    401,
                    403,
                    404,
                    405,
                    409,
                    413,
                    414,
                    415,
                    422,
                    428,
                    429,
                    431,
                ]
            }
        }
    }
)

within_bounds = settings(
    max_examples=EXAMPLES,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def described():
    """The document of the bank, as Schemathesis reads it."""
    return schemathesis.openapi.from_dict(DOCUMENT, config=REFUSED)


@pytest.fixture
def ask(described, served):
    """Ask one operation in many ways, and hold every answer to the document."""
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {served.token}"

        def ask_(name, mode):
            path, method = OPERATIONS[name]

            @within_bounds
            @given(case=described[path][method].as_strategy(generation_mode=mode))
            def ask_once(case):
                case.call_and_validate(
                    base_url=served.url,
                    session=session,
                    headers=dict(session.headers),
                    # A schema cannot say which accounts exist, or what they can pay.
                    excluded_checks=[positive_data_acceptance],
                )

            ask_once()

        yield ask_


class TestEveryOperation:
    @pytest.mark.parametrize("name", OPERATIONS)
    def test_answers_what_is_allowed_as_documented(self, ask, name):
        """No allowed request is answered by 5xx, or in a form that is not documented."""
        ask(name, GenerationMode.POSITIVE)

    @pytest.mark.parametrize("name", TAKING)
    def test_refuses_what_is_not_allowed(self, ask, name):
        """Every request that breaks the schema is refused, and not by 5xx."""
        ask(name, GenerationMode.NEGATIVE)
