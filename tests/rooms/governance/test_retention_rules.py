"""Rules for how long what is kept: read strictly, for every place that there is."""

import pytest
from tools.write_inventory import classified, members

from scudo.governance.classification import DataClass
from scudo.governance.retention import Action, Begins, Rules, load_rules, uncovered
from scudo.governance.retention.rules import RULES, cuts
from scudo.kernel import DAY_US, InvariantBroken

RULE = """
[jurisdictions]
eu = [276]
[[rules]]
number = 1
name = "requests"
says = "what was asked"
classes = ["personal"]
places = ["governance.request"]
begins = "recorded"
action = "delete_row"
days = { all = 90 }
why = "to trace incidents"
"""


@pytest.fixture(scope="module")
def rules():
    return load_rules()


def tables(connection):
    """Every table and view of a migrated database."""
    return {member.place.rpartition(".")[0] for member in members(connection)} & {
        f"{schema}.{name}"
        for schema, name in connection.execute(
            "SELECT schemaname, tablename FROM pg_tables"
            " UNION ALL SELECT schemaname, viewname FROM pg_views"
        )
    }


class TestCoverage:
    def test_every_table_has_a_rule_and_every_rule_a_table(self, database, rules):
        """What is added is nobody's until somebody says how long it is kept, and why."""
        said = {place for rule in rules.rules for place in rule.places}
        home = {place for place in said if place.startswith("home/")}

        assert uncovered(rules, tables(database.connection) | home) == ((), ())

    def test_a_table_without_a_rule_is_named_and_so_is_a_rule_without_one(self, database, rules):
        """So nobody keeps something by forgetting to say for how long."""
        database.connection.execute("CREATE TABLE payments.remark (words text)")
        database.connection.execute("ALTER TABLE governance.conduct RENAME TO manners")

        without, stale = uncovered(rules, tables(database.connection))

        assert without == ("governance.manners", "payments.remark")
        assert "governance.conduct" in stale

    def test_every_class_of_data_has_a_rule(self, rules):
        """Whatever `classes.toml` declares something to be, somebody says when it goes."""
        assert {of for rule in rules.rules for of in rule.classes} == set(DataClass)

    def test_a_rule_names_every_class_that_its_tables_hold(self, database, rules):
        """Personal, cardholder and secret columns stand under a rule that says so."""
        rule_of = {place: rule for rule in rules.rules for place in rule.places}
        known = classified(members(database.connection))
        guarded = {DataClass.PERSONAL, DataClass.CARDHOLDER, DataClass.SECRET}

        wrong = {
            place
            for place, said in known.classes.items()
            if said.data_class in guarded
            and (rule := rule_of.get(place.rpartition(".")[0])) is not None
            and said.data_class not in rule.classes
        }

        assert wrong == set()

    def test_nothing_of_the_vault_about_a_person_or_card_is_kept_for_ever(self, rules):
        """But who was erased, and keys, which are of nobody once the person's key is gone."""
        for_ever = {
            place
            for rule in rules.rules
            if rule.action is Action.KEEP
            for place in rule.places
            if place.startswith("vault.")
        }

        assert for_ever == {"vault.erasure", "vault.replayed", "vault.root", "vault.unit_key"}

    def test_the_log_is_kept_whole_and_says_why_it_may_be(self, rules):
        """A chained row cannot be taken: the reason names what is in it in a person's place."""
        (log,) = (rule for rule in rules.rules if rule.name == "log")

        assert log.action is Action.KEEP
        assert {"fabric.log_entry", "fabric.record", "decisions.decision"} <= {*log.places}
        assert all(word in log.why for word in ("number", "keyed token", "digest"))


class TestLaw:
    @pytest.mark.parametrize(
        ("country", "law"),
        [
            (276, "eu"),
            (380, "it"),
            (756, "ch"),
            (826, "gb"),
            (840, "elsewhere"),
            (None, "elsewhere"),
        ],
    )
    def test_of_a_country_is_its_own(self, rules, country, law):
        """Of a country that is not listed, or not known, the longest period holds."""
        (persons,) = (rule for rule in rules.rules if rule.begins is Begins.RELATIONSHIP_ENDED)

        assert rules.law_of(country) == law
        assert persons.days["elsewhere"] == max(persons.days.values())

    def test_a_period_is_counted_back_from_now(self, rules):
        """What began before is due; each jurisdiction has its own day."""
        (persons,) = (rule for rule in rules.rules if rule.begins is Begins.RELATIONSHIP_ENDED)
        now = 30_000 * DAY_US

        assert cuts(persons, now)["eu"] == now - 1827 * DAY_US
        assert cuts(persons, now)["ch"] == now - 3653 * DAY_US


class TestLoadRules:
    def load(self, tmp_path, text) -> Rules:
        file = tmp_path / "rules.toml"
        file.write_text(text, encoding="utf-8")
        return load_rules(file)

    def test_reads_what_is_documented(self, tmp_path):
        """The example is a file of rules; so is the one that is shipped."""
        assert self.load(tmp_path, RULE).rules[0].days == {"all": 90}
        assert RULES.exists()

    @pytest.mark.parametrize(
        ("old", "new", "says"),
        [
            ('"delete_row"', '"shred"', "shred"),
            ('"recorded"', '"someday"', "someday"),
            ("all = 90", "all = 0", "int` >= 1"),
            ("days = { all = 90 }", "", "its periods are not those of all"),
            ("all = 90", "eu = 90", "its periods are not those of all"),
            ('"delete_row"', '"keep"', "has no period"),
            ('"recorded"', '"relationship_ended"', "elsewhere, eu"),
            ('why = "to trace incidents"', "", "why"),
            ("number = 1", "number = 1\nwho = 1", "unknown field"),
            ("[276]", "[276, 276]", "276: said twice"),
            ("[[rules]]", "[rules]", "array"),
            ("eu = [276]", "eu =", "Invalid value"),
        ],
    )
    def test_refuses_a_file_that_is_not_as_documented(self, tmp_path, old, new, says):
        """It names the file and what is wrong, before anything is forgotten by it."""
        with pytest.raises(InvariantBroken, match=says) as caught:
            self.load(tmp_path, RULE.replace(old, new, 1))

        assert "rules.toml" in str(caught.value)

    def test_refuses_two_rules_for_one_place(self, tmp_path):
        """Two periods of one thing would be none."""
        _, _, rule = RULE.partition("[[rules]]")
        other = rule.replace("number = 1", "number = 2").replace('"requests"', '"again"')

        with pytest.raises(InvariantBroken, match=r"governance\.request: said twice"):
            self.load(tmp_path, f"{RULE}\n[[rules]]{other}")

    def test_refuses_a_customers_law_that_is_longer_than_where_none_is_known(self, tmp_path):
        """Nobody is forgotten too early because their country is not known."""
        text = RULE.replace('"recorded"', '"relationship_ended"').replace(
            "all = 90", "eu = 90, elsewhere = 89"
        )

        with pytest.raises(InvariantBroken, match="the longest period"):
            self.load(tmp_path, text)
