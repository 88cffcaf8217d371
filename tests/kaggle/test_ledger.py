"""The ledger as a file that people edit and processes share."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stand_in import entry, keep

from hw8.base.errors import InputError
from hw8.kaggle import Ledger
from hw8.kaggle import ledger as ledger_module
from hw8.kaggle.ledger import COLUMNS

LINE = "2023-05-01T12:00:00+00:00,ml2023spring-hw8,first.csv,aa,first,,,,sent,,,"
TOP = ",".join(COLUMNS)


@given(st.lists(st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1), min_size=1, max_size=5))
def test_what_is_written_reads_back_the_same(tmp_path_factory, texts):
    ledger = Ledger(tmp_path_factory.mktemp("ledger") / "ledger.csv")
    entries = [entry(message=text, file=text, run=text) for text in texts]
    keep(ledger, *entries)
    assert ledger.entries() == entries


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("sent", "lost", "line 2: status 'lost' is none of sending, sent, complete, error, failed"),
        ("2023-05-01T", "01/05/2023 ", "line 2: date '01/05/2023 12:00:00.000000.00:00' is no time"),
        ("+00:00", "", "line 2: date '2023-05-01T12:00:00.000000' is no time with its zone"),
        ("sent,,", 'sent,"0,8",', "line 2: score '0,8' is not a finite number"),
        ("date,", "Date,", "its header is"),
    ],
)
def test_a_damaged_ledger_is_refused_and_left_alone(client, file, old, new, words):
    client.send(file)
    path = client.ledger.path
    path.write_text(path.read_text().replace(old, new))
    text = path.read_text()
    with pytest.raises(InputError, match=words):
        client.send(file)
    assert path.read_text() == text
    assert len(client.got()) == 1


def test_a_locked_ledger_is_waited_for(client, monkeypatch):
    monkeypatch.setattr(ledger_module, "LOCK_SECONDS", 0.2)
    with client.ledger.changing(), pytest.raises(InputError, match="another process keeps it locked"):
        client.ledger.changing().__enter__()
    with client.ledger.changing():
        pass


def test_a_disk_without_locks_is_refused(client, file, monkeypatch):
    def unlockable(*words, **more):
        raise NotImplementedError("FileSystem does not appear to support flock")

    monkeypatch.setattr(ledger_module.FileLock, "acquire", unlockable)
    with pytest.raises(InputError, match="cannot be locked here .*support flock.*; choose another `ledger`"):
        client.send(file)
    assert not client.ledger.path.exists()


@pytest.mark.parametrize(
    "text", [f"\ufeff{TOP}\n{LINE}\n", f"{TOP}\r\n{LINE}\r\n", f"{TOP}\n{LINE}", f"{TOP}\n\n{LINE}\n,,,,,,,,,,,\n"]
)
def test_what_a_spreadsheet_writes_is_read(client, text):
    client.ledger.path.parent.mkdir(exist_ok=True)
    client.ledger.path.write_bytes(text.encode())
    assert [item.message for item in client.ledger.entries()] == ["first"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (f"{TOP}\n{LINE}\n".replace(",", ";").encode(), "its header is 'date;.*it must be date,"),
        (b"", "its header is ''"),
        (f"{TOP}\n{LINE}\n2023-05-01T12:0".encode(), "line 3: has 1 cells where 12 are due; correct or remove"),
        (f"{TOP}\n{LINE}\n{LINE.replace('first', chr(34) + 'x')}\n".encode(), "is no CSV file in UTF-8"),
        (f"{TOP}\n{LINE.replace('first', 'é')}\n".encode("latin-1"), "is no CSV file in UTF-8"),
        (None, "cannot be read"),
    ],
)
def test_what_is_no_ledger_is_refused_in_one_line(client, content, words):
    client.ledger.path.parent.mkdir(exist_ok=True)
    if content is None:
        client.ledger.path.mkdir()
    else:
        client.ledger.path.write_bytes(content)
    with pytest.raises(InputError, match=words):
        client.ledger.entries()


def test_entries_are_in_order_of_time_whatever_the_order_of_lines(client):
    newer, older = entry(date="2023-05-02T00:00:00+00:00"), entry(date="2023-05-02T07:00:00+08:00")
    keep(client.ledger, newer, older)
    assert client.ledger.entries() == [older, newer]


def test_a_ledger_whose_last_line_was_removed_has_no_entries(client):
    keep(client.ledger, entry())
    keep(client.ledger)
    assert client.ledger.entries() == []


def test_what_is_not_changed_is_not_written(client):
    with client.ledger.changing() as entries:
        assert entries == []
    assert not client.ledger.path.exists()
