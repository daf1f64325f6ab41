"""A customer in a real browser: a passkey made and used, and a payment that it confirms."""

import os
import socket
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright
from tests.customers import account, new_address, serving

CHROMIUM = Path("/usr/bin/chromium")


@pytest.fixture
def bank(database, tmp_path):
    """Serve a bank on the port that its origin names."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    origin = f"http://localhost:{port}"
    with serving(database.dsn, tmp_path, origins=(origin,), port=port) as bank:
        bank.origin = origin
        yield bank


@pytest.fixture
def page():
    """A page of a browser that has an authenticator, and one person before it."""
    if not CHROMIUM.exists():
        pytest.skip("Debian's package chromium is not installed: no browser to try passkeys in")
    with sync_playwright() as playwright:
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=sandbox)
        page = browser.new_page()
        devtools = page.context.new_cdp_session(page)
        devtools.send("WebAuthn.enable")
        options = {
            "protocol": "ctap2",
            "transport": "internal",
            "hasResidentKey": True,
            "hasUserVerification": True,
            "isUserVerified": True,
            "automaticPresenceSimulation": True,
        }
        devtools.send("WebAuthn.addVirtualAuthenticator", {"options": options})
        yield page
        browser.close()


@pytest.fixture
def problems(page):
    """What the browser finds wrong: errors of the script, and what the page's policy forbids."""
    found = []
    page.on("pageerror", lambda error: found.append(str(error)))
    page.on("console", lambda told: found.append(told.text) if "Policy" in told.text else None)
    return found


def sign_up(bank, page):
    """Open an account by the code from the mail; gives the answer that brought the page."""
    address = new_address()
    opened = page.goto(f"{bank.origin}/passkeys")
    page.wait_for_selector("html[data-ready]")
    page.screenshot(path=bank.bank.home / "1-before.png")
    page.get_by_label("E-mail address").fill(address)
    page.get_by_role("button", name="Mail me a code").click()
    page.get_by_label("Code from the mail").fill(bank.mailbox.code(address))
    page.screenshot(path=bank.bank.home / "2-code.png")
    page.get_by_role("button", name="Open the account").click()
    page.get_by_text("Your account is open.").wait_for()
    page.get_by_role("button", name="Add a passkey").click()
    page.get_by_text("The passkey was added.").wait_for()
    return opened


def log_in(page, name):
    """Log in by the passkey."""
    page.get_by_role("button", name=name).click()
    page.get_by_text("You are logged in.").wait_for()


def pay(page, payee, amount, told):
    """Order a payment, and wait for what the page says about it."""
    page.get_by_label("Payee's account", exact=True).fill(payee)
    page.get_by_label("Amount", exact=True).fill(amount)
    page.get_by_role("button", name="Pay", exact=True).click()
    page.locator("#status").get_by_text(told).wait_for()


def test_a_passkey_is_added_and_used(bank, page, problems):
    """Sign up by mail, add a passkey, log out everywhere, log in by the passkey."""
    opened = sign_up(bank, page)
    page.screenshot(path=bank.bank.home / "3-inside.png")
    page.get_by_role("button", name="Log out everywhere").click()
    page.get_by_text("You are logged out everywhere.").wait_for()
    kept = "[localStorage.length, sessionStorage.length, document.cookie.length]"
    assert page.evaluate(kept) == [0, 0, 0]
    assert page.locator("#customer").text_content() == ""
    log_in(page, "Log in with a passkey")

    assert page.locator("#assurance").text_content() == "by a passkey"
    assert page.locator("#passkeys").text_content() == "1"
    assert "script-src 'self'" in opened.headers["content-security-policy"]
    assert problems == []
    assurances = [e["assurance"] for e in bank.events("identity.session.began.v1")]
    assert assurances == [1, 4]


class TestMoney:
    """One way through the browser, from the first mail to the last payment."""

    @pytest.fixture
    def payees(self, bank, page, problems):
        """Accounts of somebody, the second never paid; the page is logged in and has paid."""
        sign_up(bank, page)
        clerk, new = bank.clerk(), {"reference": "payee", "kind": "person"}
        other = clerk.post("/v1/customers", json=new).json()["id"]
        account(clerk, page.locator("#customer").text_content(), 20_000_00)
        usual, stranger = account(clerk, other), account(clerk, other)
        log_in(page, "Log in with the passkey")
        page.screenshot(path=bank.bank.home / "4-money.png", full_page=True)
        for _ in range(3):
            pay(page, usual, "10", "10.00 EUR: paid.")
        yield usual, stranger
        page.screenshot(path=bank.bank.home / "7-after.png", full_page=True)
        assert problems == []

    def paid(self, bank, payee):
        """What has come to a payee."""
        return bank.clerk().get(f"/v1/accounts/{payee}/balance").json()["posted_minor"]

    def test_a_large_payment_to_a_new_payee_is_confirmed_by_passkey(self, bank, page, payees):
        """It is stepped up; the page shows what the bank holds, and the passkey lets it go on."""
        _, stranger = payees

        pay(page, stranger, "1000.00", "1,000.00 EUR: confirm that this payment is yours.")
        page.screenshot(path=bank.bank.home / "5-waiting.png", full_page=True)
        assert page.locator("#amount-waiting").text_content() == "1,000.00 EUR"
        assert page.locator("#payee-waiting").text_content() == stranger
        assert page.evaluate("document.activeElement.id") == "confirming-title"
        assert self.paid(bank, stranger) == 0
        page.get_by_role("button", name="Confirm with a passkey").click()
        page.get_by_text("The payment is done.").wait_for()
        page.screenshot(path=bank.bank.home / "6-paid.png", full_page=True)

        assert self.paid(bank, stranger) == 1_000_00
        assert not page.locator("#confirming").is_visible()
        assert page.locator("#payer option").text_content().startswith("18,970.00 EUR on acc_")
        assert (
            page.locator("#payments li").first.text_content() == f"1,000.00 EUR to {stranger}: paid"
        )

    def test_one_that_nobody_confirms_is_not_made(self, bank, page, payees):
        """Whoever says no is not asked again, and the money stays."""
        _, stranger = payees

        pay(page, stranger, "1000", "1,000.00 EUR: confirm that this payment is yours.")
        page.get_by_role("button", name="Do not pay").click()
        page.get_by_text("The payment will not be made.").wait_for()

        assert self.paid(bank, stranger) == 0
        assert page.locator("#payer option").text_content().startswith("19,970.00 EUR on acc_")
        assert (
            page.locator("#payments li").first.text_content()
            == f"1,000.00 EUR to {stranger}: not paid"
        )

    def test_an_answer_that_was_lost_is_no_second_payment(self, bank, page, payees):
        """Sent again because nothing came back, an order is the same order."""
        usual, _ = payees
        page.route("**/v1/payments", lambda route: (route.fetch(), route.abort()))
        pay(page, usual, "25.50", "Failed to fetch")
        page.unroute("**/v1/payments")

        pay(page, usual, "25.50", "25.50 EUR: paid.")

        assert self.paid(bank, usual) == 30_00 + 25_50

    def test_tokens_are_renewed_when_their_minutes_are_over(self, bank, page, payees):
        """A token that is not good any more is exchanged, and the order goes through once."""
        usual, _ = payees
        bank.office.tokens._by_digest.clear()

        pay(page, usual, "5.00", "5.00 EUR: paid.")

        assert self.paid(bank, usual) == 35_00

    @pytest.mark.parametrize("amount", ["1.005", "0.001"])
    def test_an_amount_of_too_many_digits_is_not_sent(self, bank, page, payees, amount):
        """Nothing is rounded: the page asks for another amount."""
        usual, _ = payees

        pay(page, usual, amount, "EUR has 2 digits after the point.")

        assert self.paid(bank, usual) == 30_00
