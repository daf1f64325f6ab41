"""A file of transactions is taken whole or refused by name."""

import pytest

from scudo.simulation import TransactionFile, errors

COLUMNS = (
    *("transaction_id", "tx_datetime", "customer_id", "terminal_id", "tx_amount_minor"),
    *("tx_fraud", "tx_fraud_scenario"),
)


@pytest.fixture
def changed(transactions, write_parquet):
    """Write a file of which one row is not like the others."""

    def change(**values):
        rows = transactions(20)
        rows[5] = {**rows[5], **values}
        return write_parquet("changed.parquet", rows)

    return change


class TestGoodFile:
    def test_is_read_in_order(self, file):
        """All rows come in the order of the file, a page at a time."""
        read = TransactionFile(file)

        pages = list(read.rows(10, 300, page=100))

        assert [len(page) for page in pages] == [100, 100, 90]
        assert [row.id for page in pages for row in page] == [1_000 + n for n in range(10, 300)]

    def test_is_known_by_its_bytes(self, file, tmp_path, transactions, write_parquet):
        """A copy under another name has the same fingerprint; another file has another."""
        copy = tmp_path / "copy.parquet"
        copy.write_bytes(file.read_bytes())
        other = write_parquet("other.parquet", transactions(300, seed=2))

        prints = [TransactionFile(path).fingerprint for path in (file, copy, other)]

        assert prints[0] == prints[1] != prints[2]

    def test_may_hold_amounts_of_zero(self, changed):
        """A transaction of no amount is the bank's to refuse, not the file's fault."""
        assert TransactionFile(changed(tx_amount_minor=0)).count == 20


class TestBadFile:
    def test_is_refused_when_absent(self, tmp_path):
        """A file that is not there is refused."""
        with pytest.raises(errors.FileUnreadable):
            TransactionFile(tmp_path / "absent.parquet")

    def test_is_refused_when_foreign(self, tmp_path):
        """A file that is not Parquet is refused by its first bytes."""
        path = tmp_path / "text.parquet"
        path.write_text("transaction_id,tx_datetime\n1,2\n")

        with pytest.raises(errors.FileUnreadable, match="not a Parquet file"):
            TransactionFile(path)

    @pytest.mark.parametrize("kept", [4, 100, 2_000])
    def test_is_refused_when_cut_short(self, file, tmp_path, kept):
        """A file whose end is missing is refused as cut short."""
        path = tmp_path / "cut.parquet"
        path.write_bytes(file.read_bytes()[:kept])

        with pytest.raises(errors.FileUnreadable, match=r"cut short|cannot be read"):
            TransactionFile(path)

    @pytest.mark.parametrize("place", [0.2, 0.5, 0.97])
    def test_is_refused_when_damaged(self, file, tmp_path, place):
        """A hole in the middle is found before anything moves, wherever it is."""
        data = bytearray(file.read_bytes())
        start = int(len(data) * place)
        data[start : start + 64] = b"\xff" * 64
        path = tmp_path / "damaged.parquet"
        path.write_bytes(data)

        with pytest.raises((errors.FileUnreadable, errors.FileMalformed, errors.FileForeign)):
            TransactionFile(path)

    @pytest.mark.parametrize("column", COLUMNS)
    def test_is_refused_without_a_column(self, transactions, write_parquet, column):
        """Every column that is used is asked for by name."""
        with pytest.raises(errors.FileForeign) as caught:
            TransactionFile(write_parquet("short.parquet", transactions(20), without=column))

        assert caught.value.field == column

    @pytest.mark.parametrize("column", ["transaction_id", "tx_datetime", "tx_amount_minor"])
    def test_is_refused_with_a_column_of_another_type(self, transactions, write_parquet, column):
        """A column of the right name and the wrong type is named."""
        path = write_parquet("typed.parquet", transactions(20), types={column: "VARCHAR"})

        with pytest.raises(errors.FileForeign) as caught:
            TransactionFile(path)

        assert caught.value.field == column

    @pytest.mark.parametrize(
        ("values", "problem"),
        [
            ({"tx_amount_minor": None}, "a value is missing"),
            ({"tx_datetime": None}, "a value is missing"),
            ({"tx_amount_minor": -1}, "negative"),
            ({"customer_id": -4}, "negative"),
            ({"tx_datetime": "2019-01-01 00:00:00"}, "before that of the row above"),
            ({"tx_fraud": 1, "tx_fraud_scenario": 0}, "disagree"),
        ],
    )
    def test_is_refused_with_a_row_that_cannot_be(self, changed, values, problem):
        """The first impossible row is named, and what is wrong with it."""
        with pytest.raises(errors.FileMalformed, match=rf"row 5 .*{problem}"):
            TransactionFile(changed(**values))

    def test_is_refused_with_a_row_twice(self, changed):
        """Two rows with one id would share a key, so the file is refused."""
        with pytest.raises(errors.FileMalformed, match="more than one row"):
            TransactionFile(changed(transaction_id=1_003))
