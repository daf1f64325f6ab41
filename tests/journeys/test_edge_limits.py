"""The edge's limits over HTTP: two people set them while the bank works, and they stay."""

from pathlib import Path

from tests.bureau import Bureau, browser
from tests.conftest import Database
from tests.customers import serving


class TestEdgeLimits:
    def test_hold_at_once_and_after_a_restart(self, database: Database, tmp_path: Path) -> None:
        """Approved, the next request meets them; one's own network is never denied; so later."""
        with serving(database.dsn, tmp_path) as bank:
            bureau = Bureau(bank)
            bank.stack.callback(bureau.http.close)
            anna, bela = bureau.founders()
            stranger = bank.stack.enter_context(browser(bank.url))
            theirs = stranger._transport._pool._local_address
            own = bela.http._transport._pool._local_address
            filters = {"denied_networks": [f"{theirs}/32"]}
            before = anna.get("/v1/edge-limits").json()
            assert stranger.get("/health/live").status_code == 200

            proposed = anna.propose(
                "set_edge_limits",
                filters=filters,
                networks={"callbacks": {"per_s": 1, "burst_s": 1}},
            )
            trap = anna.propose("set_edge_limits", filters={"denied_networks": [f"{own}/32"]})
            alone = anna.approve(proposed.json()["id"])
            unset = stranger.get("/health/live").status_code
            approved = bela.approve(proposed.json()["id"])
            after = bela.get("/v1/edge-limits").json()

            assert proposed.status_code == 201, proposed.text
            assert (trap.status_code, trap.json()["code"]) == (422, "network_shut_out")
            assert (alone.status_code, unset) == (403, 200)
            assert approved.status_code == 200, approved.text
            assert stranger.get("/health/live").json()["code"] == "network_denied"
            assert (before["set_at"], before["approval_id"]) == (None, None)
            assert after["approval_id"] == proposed.json()["id"]
            assert after["filters"]["denied_networks"] == [f"{theirs}/32"]
            assert after["tiers"] == before["tiers"]
            calls = [
                bela.http.post("/v1/inbound/partner-ping", json={}).status_code for _ in range(3)
            ]
            assert (calls[0], calls[-1]) == (401, 429)
            (told,) = bank.events("governance.edge_limits.set.v1")
            assert told["parts"] == ["networks.callbacks", "filters"]
            assert theirs not in str(bank.events("governance.approval.proposed.v1"))

        with serving(database.dsn, tmp_path) as bank:
            kept = bank.clerk().get("/v1/edge-limits").json()
            with browser(bank.url) as stranger:
                stranger._transport._pool._local_address = theirs
                refused = stranger.get("/health/live")

        assert kept == after
        assert refused.json()["code"] == "network_denied"

    def test_approved_from_a_network_that_they_deny_are_refused(
        self, database: Database, tmp_path: Path
    ) -> None:
        """What is harmless for the proposer and shuts out the approver changes nothing."""
        with serving(database.dsn, tmp_path) as bank:
            bureau = Bureau(bank)
            bank.stack.callback(bureau.http.close)
            anna, bela = bureau.founders()
            bela.http = bank.stack.enter_context(browser(bank.url))
            theirs = bela.http._transport._pool._local_address
            change = {"denied_networks": [f"{theirs}/32"]}
            proposed = anna.propose("set_edge_limits", filters=change).json()["id"]

            refused = bela.approve(proposed)

            assert (refused.status_code, refused.json()["code"]) == (422, "network_shut_out")
            assert bela.get("/v1/edge-limits").json()["approval_id"] is None
            assert anna.get(f"/v1/approvals/{proposed}").json()["state"] == "pending"
