"""A passkey in a real browser: made, and used, on the page that the bank serves."""

import os
import socket
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright
from tests.customers import new_address, serving

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


def test_a_passkey_is_added_and_used(bank, page, tmp_path):
    """Sign up by mail, add a passkey, log out everywhere, log in by the passkey."""
    problems = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda told: problems.append(told.text) if "Policy" in told.text else None)
    address = new_address()
    opened = page.goto(f"{bank.origin}/passkeys")
    page.wait_for_selector("html[data-ready]")
    page.get_by_label("E-mail address").fill(address)
    page.get_by_role("button", name="Mail me a code").click()
    page.get_by_label("Code from the mail").fill(bank.mailbox.code(address))
    page.get_by_role("button", name="Open the account").click()
    page.get_by_text("Your account is open.").wait_for()
    page.get_by_role("button", name="Add a passkey").click()
    page.get_by_text("The passkey was added.").wait_for()
    page.screenshot(path=tmp_path / "inside.png")
    page.get_by_role("button", name="Log out everywhere").click()
    page.get_by_text("You are logged out everywhere.").wait_for()
    kept = "[localStorage.length, sessionStorage.length, document.cookie.length]"
    assert page.evaluate(kept) == [0, 0, 0]
    assert page.locator("#customer").text_content() == ""
    page.screenshot(path=tmp_path / "outside.png")
    page.get_by_role("button", name="Log in with a passkey").click()
    page.get_by_text("You are logged in.").wait_for()

    assert page.locator("#assurance").text_content() == "by a passkey"
    assert page.locator("#passkeys").text_content() == "1"
    assert "script-src 'self'" in opened.headers["content-security-policy"]
    assert problems == []
    assurances = [e["assurance"] for e in bank.events("identity.session.began.v1")]
    assert assurances == [1, 4]
