"""Texts of payments: kept by claim and bound to it, known by signals, gone with their payer."""

import asyncio
import itertools
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.rooms.vault.conftest import WHY, refused
from tests.rooms.vault.test_operational import counted

from scudo import vault
from scudo.vault import ErasePerson, KeepTexts, NewText, ReadText, TextSignal
from scudo.vault.texts import VaultTexts, signals_of

PERSONS = itertools.count(70_000)
REQUEST = "5a" * 16
OTHER = "5b" * 16

SIGNALS = [
    ("Thanks for lunch!", TextSignal(0)),
    ("Miete Oktober, Wohnung 3", TextSignal(0)),
    ("  \u3000 ", TextSignal.EMPTY),
    ("see https://pay.example/x?1", TextSignal.LINK),
    ("www.example.com", TextSignal.LINK),
    ("bit.ly/3xYz now", TextSignal.LINK),
    ("at 10.30 Uhr, and/or later", TextSignal(0)),
    ("4111 1111 1111 1111", TextSignal.CARD_NUMBER),
    ("\uff14\uff11\uff11\uff11 1111 1111 1111", TextSignal.CARD_NUMBER),
    ("ch93 0076 2011 6238 5295 7", TextSignal.IBAN),
    ("call +39 06 1234 5678", TextSignal.PHONE),
    ("079 123 45 67", TextSignal.PHONE),
    ("invoice 2026-00123", TextSignal(0)),
    ("anna.rossi@example.org", TextSignal.EMAIL),
    ("SEND IT RIGHT NOW", TextSignal.SHOUTS),
    ("IBAN OK", TextSignal(0)),
    ("to your SAFE  account", TextSignal.SCAM_WORDS),
    ("Rendim\u00e8nto-garantito", TextSignal.SCAM_WORDS),
    ("unsafe accounting", TextSignal(0)),
    ("safe\u200b account", TextSignal.SCAM_WORDS | TextSignal.HIDDEN_CHARACTERS),
    ("safe a\u200bccount", TextSignal.SCAM_WORDS | TextSignal.HIDDEN_CHARACTERS),
    ("a\u202eb", TextSignal.HIDDEN_CHARACTERS),
]


def keep(ask, person, text="for the ferry", request=REQUEST):
    """Keep one text, and give what is told of it."""
    (kept,) = ask(KeepTexts((NewText(person, request, text),))).texts
    return kept


class TestSignals:
    @pytest.mark.parametrize(("text", "signals"), SIGNALS)
    def test_say_what_a_text_has(self, text, signals):
        """Each bit is set by its own kind of text, and by no other."""
        assert signals_of(text) == signals

    @given(st.text(max_size=140))
    def test_are_bits_that_are_declared(self, text):
        """Whatever people write is answered, with declared bits only."""
        assert 0 <= signals_of(text) < 2 * max(TextSignal)

    @given(st.text(max_size=60), st.text(max_size=60))
    def test_of_a_scam_are_not_talked_away(self, before, after):
        """Words around it hide nothing."""
        assert TextSignal.SCAM_WORDS in signals_of(f"{before} gift cards {after}")


class TestKeeping:
    def test_gives_back_what_was_kept_and_leaves_a_fact(self, shared, ask):
        """Who has the claim reads the text for a purpose; the vault and the caller record it."""
        person = next(PERSONS)
        kept = keep(ask, person, "Danke f\u00fcr alles")

        read = ask(ReadText(person, kept.claim, WHY))

        assert kept.is_kept
        assert read.text == "Danke f\u00fcr alles"
        assert [(f.operation, f.subject, f.field, f.result) for f in read.facts] == [
            ("read", person, "payment_text", "given")
        ]
        with shared.as_admin() as admin:
            (row,) = admin.execute(
                "SELECT field, result, correlation FROM vault.read_record WHERE subject = %s",
                (person,),
            ).fetchall()
            (sealed,) = admin.execute(
                "SELECT sealed FROM vault.payment_text WHERE person = %s", (person,)
            ).fetchone()
        assert row == ("payment_text", "given", 99)
        assert b"Danke" not in sealed

    def test_of_the_same_request_is_the_same(self, ask):
        """Sent again it has the same claim; another text or another request has another one."""
        person = next(PERSONS)
        first = keep(ask, person)

        assert keep(ask, person) == first
        assert keep(ask, person, "for the hotel").claim != first.claim
        assert keep(ask, person, request=OTHER).claim != first.claim
        assert ask(ReadText(person, first.claim, WHY)).text == "for the ferry"

    def test_of_another_person_is_not_found(self, ask):
        """A claim opens nothing of anybody but its payer; both answers are the same."""
        person, other = next(PERSONS), next(PERSONS)
        claim = keep(ask, person).claim
        keep(ask, other, "mine")

        foreign = refused(ask, ReadText(other, claim, WHY))
        absent = refused(ask, ReadText(next(PERSONS), claim, WHY))

        assert foreign.code == absent.code == "vault_text_not_found"
        assert [fact.result for fact in foreign.facts] == ["vault_text_not_found"]

    def test_keeps_four_digits_of_a_card_number(self, ask):
        """A number that somebody writes is nowhere whole; rules know that it was there."""
        person = next(PERSONS)
        kept = keep(ask, person, "take 5555555555554444")

        assert ask(ReadText(person, kept.claim, WHY)).text == "take ************4444"
        assert kept.signals == TextSignal.CARD_NUMBER

    def test_is_bound_to_its_claim_and_its_payer(self, shared, ask):
        """A ciphertext that is moved to another claim, or to another person, does not open."""
        person, other = next(PERSONS), next(PERSONS)
        claim, second = keep(ask, person).claim, keep(ask, person, "two", OTHER).claim
        keep(ask, other)
        with shared.as_admin() as admin:
            admin.execute(
                "UPDATE vault.payment_text AS t SET row = f.row, sealed = f.sealed"
                " FROM vault.payment_text AS f WHERE f.person = %s AND f.claim = %s"
                " AND (t.person, t.claim) IN ((%s, %s), (%s, %s))",
                (person, claim, person, second, other, claim),
            )

        for whose, moved in ((person, second), (other, claim)):
            refusal = refused(ask, ReadText(whose, moved, WHY))
            assert refusal.code == "vault_ciphertext_broken"
        assert ask(ReadText(person, claim, WHY)).text == "for the ferry"

    def test_of_an_erased_person_is_gone_and_not_kept_again(self, ask):
        """Erasing destroys it and lets no later one be kept; others of the same message are."""
        person, other = next(PERSONS), next(PERSONS)
        claim = keep(ask, person).claim

        erased = ask(ErasePerson(person, "operator:7", "request:1"))
        texts = (NewText(person, OTHER, "again"), NewText(other, OTHER, "mine"))
        again = ask(KeepTexts(texts)).texts

        assert erased.destroyed["texts"] == 1
        assert refused(ask, ReadText(person, claim, WHY)).code == "vault_text_not_found"
        assert [one.is_kept for one in again] == [False, True]

    @pytest.mark.parametrize("text", ["", "x" * 141])
    def test_takes_no_text_of_another_length(self, ask, text):
        """None is none, and a longer one is no text of a payment."""
        request = KeepTexts((NewText(next(PERSONS), REQUEST, text),))

        assert refused(ask, request).code == "vault_request_malformed"

    @pytest.mark.parametrize(
        ("purpose", "code"),
        [("network", "vault_forbidden"), ("curiosity", "vault_field_undeclared")],
    )
    def test_is_read_for_a_purpose_of_personal_data_only(self, ask, purpose, code):
        """Who may read cards for the network may not read what people write."""
        person = next(PERSONS)
        why = vault.Why(purpose, "op", "case")

        refusal = refused(ask, ReadText(person, keep(ask, person).claim, why))

        assert refusal.code == code

    def test_gives_nobody_a_token_of_a_text(self, ask):
        """The key that makes claims cannot be asked about texts that somebody guesses."""
        asked = vault.Tokenise("text", (f"{REQUEST}\x00for the ferry",))

        assert refused(ask, asked).code == "vault_field_undeclared"

    def test_while_many_keep_texts_of_the_same_persons_fails_none(self, shared):
        """Whatever order they name persons in, each is kept."""
        persons = [next(PERSONS) for _ in range(4)]

        def keep_all(number):
            order = persons[number % 4 :] + persons[: number % 4]
            texts = tuple(NewText(p, f"{number:032}", f"text {number}") for p in order)
            with shared.client() as client:
                return client.ask(KeepTexts(texts)).texts

        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(keep_all, range(12)))

        assert all(one.is_kept for texts in answers for one in texts)


class TestSealed:
    def test_keeps_none_and_tells_what_rules_may_know(self, home):
        """Claim and signals are the same as when it is open; sent again then, the text is kept."""
        client = home.opened()
        named = (("device", "phone-1"), ("ip", "::1"))
        person = next(PERSONS)
        new = NewText(person, REQUEST, "gift cards")
        client.ask(vault.Seal())
        sealed = client.ask(KeepTexts((new,), named))
        refusal = refused(client.ask, ReadText(person, sealed.texts[0].claim, WHY))
        home.stop()
        home.start()
        client = home.client()

        opened = client.ask(KeepTexts((new,), named))

        assert not sealed.texts[0].is_kept
        assert opened.texts[0].is_kept
        assert sealed.texts[0].claim == opened.texts[0].claim
        assert sealed.texts[0].signals == opened.texts[0].signals == TextSignal.SCAM_WORDS
        assert sealed.tokens == opened.tokens
        assert len(set(opened.tokens)) == 2
        assert refusal.code == "vault_sealed"
        assert client.ask(ReadText(person, opened.texts[0].claim, WHY)).text == "gift cards"


class TestVaultTexts:
    def test_of_one_turn_are_one_message(self, home):
        """Forty requests that came in at once are one message, and each has its own answer."""
        home.opened()

        async def scenario():
            async with counted(home) as (tokens, frames):
                texts = VaultTexts(tokens._client)
                asked = [
                    texts.keep(NewText(90_000 + n, REQUEST, f"n {n}"), [("ip", f"::{n % 7}")])
                    for n in range(40)
                ]
                return await asyncio.gather(*asked), len(frames)

        found, frames = asyncio.run(scenario())

        assert frames == 1
        with home.client() as client:
            for number in (0, 13, 39):
                kept, (token,) = found[number]
                assert client.ask(ReadText(90_000 + number, kept.claim, WHY)).text == f"n {number}"
                ip = vault.Tokenise("ip", (f"::{number % 7}",))
                assert client.ask(ip).tokens == (token,)

    def test_of_the_longest_fit_their_frames(self, home):
        """Many as long as requests may have them are kept, in as many messages as they need."""
        home.opened()
        longest = "\N{OGHAM SPACE MARK}" * 140

        async def scenario():
            async with counted(home) as (tokens, frames):
                texts = VaultTexts(tokens._client)
                named = [("device", "\N{GRINNING FACE}" * 128), ("ip", "\N{GRINNING FACE}" * 128)]
                asked = [texts.keep(NewText(n, "x" * 64, longest), named) for n in range(1, 151)]
                return await asyncio.gather(*asked), len(frames)

        found, frames = asyncio.run(scenario())

        assert all(kept.is_kept for kept, _ in found)
        assert frames == 3

    def test_are_refused_to_all_who_wait_when_the_vault_is_away(self, home):
        """Everybody is told, and one who went away meanwhile takes nobody along."""
        home.opened()

        async def scenario():
            async with counted(home) as (tokens, _):
                texts = VaultTexts(tokens._client)
                await texts.keep(NewText(4, REQUEST, "x"), [])
                home.running.kill()
                waiting = [
                    asyncio.create_task(texts.keep(NewText(n, REQUEST, "x"), [])) for n in (1, 2, 3)
                ]
                await asyncio.sleep(0)
                waiting[2].cancel()
                return await asyncio.gather(*waiting, return_exceptions=True)

        told = asyncio.run(scenario())

        assert [type(one).__name__ for one in told[:2]] == ["VaultUnavailable"] * 2
        assert isinstance(told[2], asyncio.CancelledError)
