"""A flag over HTTP: proposed, approved, seen by a customer, found again after a restart."""

from pathlib import Path

import pytest
from tests.bureau import Bureau
from tests.conftest import Database
from tests.customers import serving

FLAG = "me_gives_advice"


class TestFlag:
    """From the file to the answer."""

    @pytest.mark.fault(59)
    def test_changes_an_answer_once_two_people_want_it(
        self, database: Database, tmp_path: Path
    ) -> None:
        """No role and no client writes it; approved, the next answer shows it; so after a restart.

        The log-in before and after works alike: the flag changes what is said, not what is done.
        """
        with serving(database.dsn, tmp_path) as bank:
            bureau = Bureau(bank)
            bank.stack.callback(bureau.http.close)
            anna, bela = bureau.founders()
            eva = bureau.hire(anna, "eva")
            bureau.grant(anna, bela, eva, "engineer")
            customer = bank.signed_up()
            assert customer.get("/v1/me").json()["advice"] is None

            proposed = eva.propose("set_flag", flag=FLAG, value=True)
            unsaid = customer.get("/v1/me").json()["advice"]
            own = eva.approve(proposed.json()["id"])
            written = [
                bank.clerk().request(method, "/v1/flags", json={"flag": FLAG, "value": True})
                for method in ("POST", "PUT", "PATCH", "DELETE")
            ]
            (before,) = eva.get("/v1/flags").json()["items"]
            approved = bela.approve(proposed.json()["id"])
            (after,) = bela.get("/v1/flags").json()["items"]
            said = customer.get("/v1/me").json()["advice"]
            control = eva.propose("set_flag", flag="payment_gates", value=False)

            assert (proposed.status_code, unsaid) == (201, None)
            assert own.status_code == 403
            assert {answer.status_code for answer in written} == {405}
            assert (before["value"], before["set_at"], before["approval_id"]) == (False, None, None)
            assert approved.status_code == 200
            assert (after["value"], after["default"]) == (True, False)
            assert after["approval_id"] == proposed.json()["id"]
            assert said == "Add a second passkey, so that you get in when the first device is lost."
            assert (control.status_code, control.json()["code"]) == (422, "change_invalid")
            assert customer.log_in().status_code == 201
            (told,) = bank.events("governance.flag.set.v1")
            assert (told["flag"], told["value"]) == (FLAG, "true")
            metrics = bank.stranger().get("/metrics").text
            assert "scudo_flag_fallbacks_total{" not in metrics

        with serving(database.dsn, tmp_path) as bank:
            (kept,) = bank.clerk().get("/v1/flags").json()["items"]
            assert kept == after

    @pytest.mark.fault(59)
    def test_answers_as_ever_while_its_provider_is_down(
        self, database: Database, tmp_path: Path
    ) -> None:
        """What the flags are kept in is gone: the coded default, counted, and no error."""
        with serving(database.dsn, tmp_path) as bank:
            customer = bank.signed_up()
            bank.bank.rooms.flags.declared = None

            answer = customer.get("/v1/me")
            metrics = bank.stranger().get("/metrics").text

        assert (answer.status_code, answer.json()["advice"]) == (200, None)
        assert 'scudo_flag_fallbacks_total{reason="general"} 1.0' in metrics
