"""Kaggle's list of submissions, put into the ledger."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stand_in import HEAD, NOON, entry, keep

from hw8.base.errors import InputError
from hw8.kaggle.client import COMPETITION
from hw8.kaggle.listed import Listed, read_list
from hw8.kaggle.matching import match
from hw8.kaggle.refreshing import _updated, refresh
from hw8.kaggle.scores import listing


def test_scores_come_into_the_ledger_when_they_are_there(client, file):
    client.send(file)
    client.send(file, "second, \"quoted\"; with 'commas'", NOON + timedelta(minutes=1))
    client.behave("noisy")
    rows = [
        '43,first.csv,2023-05-01 12:01:04.123000,"second, ""quoted""; with \'commas\'",SubmissionStatus.PENDING,,',
        "42,first.csv,2023-05-01 12:00:03.500000,first,SubmissionStatus.PENDING,,",
    ]
    client.lists("\r\n".join([HEAD, *rows]) + "\r\n")
    lines = refresh(client.ledger, COMPETITION, 30, NOON)
    assert [item.ref for item in client.ledger.entries()] == ["42", "43"]
    assert client.statuses() == ["sent", "sent"]
    assert lines[0] == "submissions/first.csv of 2023-05-01 12:00: sent, public -, private -"
    rows = [rows[0].replace("PENDING,,", "ERROR,,"), rows[1].replace("PENDING,,", "COMPLETE,0.84012,0.83990")]
    client.lists("\r\n".join([HEAD, *rows]) + "\r\n")
    lines = refresh(client.ledger, COMPETITION, 30, NOON)
    assert lines[0] == "submissions/first.csv of 2023-05-01 12:00: complete, public 0.84012, private 0.83990"
    assert client.statuses() == ["complete", "error"]
    assert refresh(client.ledger, COMPETITION, 30, NOON) == ["nothing new"]
    assert "0.84012" in listing(client.ledger.entries())


def test_a_client_before_2_0_lists_as_well(client, file):
    client.send(file)
    client.behave("old")
    client.lists(
        "Warning: Looks like you're using an outdated API Version, please consider updating (server 1.5.16 / client "
        "1.5.12)\nfileName,date,description,status,publicScore,privateScore\n"
        "first.csv,2023-05-01 12:00:09,first,complete,0.84,None\n"
    )
    refresh(client.ledger, COMPETITION, 30, NOON)
    [kept] = client.ledger.entries()
    assert (kept.status, kept.public, kept.private, kept.ref) == ("complete", "0.84", "", "")


def test_a_list_without_a_list_leaves_the_ledger_alone(client, file):
    client.send(file)
    text = client.ledger.path.read_text()
    for answer in ("", "403\n", "fileName\nfirst.csv\n", "{}\n", "a" * 200_000 + ",b\n"):
        client.lists(answer)
        with pytest.raises(InputError, match=r"printed no list of submissions .*pip install --upgrade kaggle"):
            refresh(client.ledger, COMPETITION, 30, NOON)
    assert client.ledger.path.read_text() == text


def test_what_was_being_sent_is_settled_by_the_list(client):
    late, early = NOON - timedelta(minutes=30), NOON - timedelta(hours=3)
    arrived = entry(date=(NOON - timedelta(hours=4)).isoformat(), message="arrived", status="sending")
    lost = entry(date=early.isoformat(), message="lost", status="sending")
    young = entry(date=late.isoformat(), message="young", status="sending")
    other = entry(date=early.isoformat(), competition="another", message="lost", status="sending")
    keep(client.ledger, arrived, lost, young, other)
    client.lists(f"{HEAD}\n7,first.csv,2023-05-01 08:02:00,arrived,SubmissionStatus.PENDING,,\n")
    refresh(client.ledger, COMPETITION, 30, NOON)
    assert client.statuses() == ["sent", "failed", "sending", "sending"]


@pytest.mark.parametrize("text", ["No submissions found\n", f"{HEAD}\n"])
def test_an_empty_list_settles_too(client, text):
    keep(client.ledger, entry(status="sending"), entry(date=NOON.isoformat() + "", status="complete", public="0.5"))
    client.lists(text)
    refresh(client.ledger, COMPETITION, 30, NOON + timedelta(hours=2))
    assert client.statuses() == ["failed", "complete"]


def test_a_list_that_does_not_reach_back_settles_nothing(client):
    keep(client.ledger, entry(status="sending"))
    rows = [f"{n},b.csv,2023-05-03 12:00:{n:02d},b,SubmissionStatus.COMPLETE,0.5,0.5" for n in range(20)]
    client.lists("\n".join([HEAD, *rows]) + "\n")
    lines = refresh(client.ledger, COMPETITION, 30, NOON + timedelta(days=2))
    assert client.statuses() == ["sending"]
    assert lines == ["20 of today's submissions were made elsewhere: Kaggle counts them, the ledger does not"]


def test_a_clock_that_is_wrong_by_hours_is_told_and_nothing_is_given_up(client):
    keep(client.ledger, entry(status="sending"), entry(date=(NOON + timedelta(minutes=1)).isoformat(), message="other"))
    row = "7,first.csv,2023-05-01 15:00:02,first,SubmissionStatus.COMPLETE,0.5,"
    client.lists(f"{HEAD}\n{row}\n{row.replace(',first,', ',other,').replace('7', '8')}\n")
    lines = refresh(client.ledger, COMPETITION, 30, NOON + timedelta(hours=2))
    assert client.statuses() == ["sending", "sent"]
    assert "first.csv of 2023-05-01 12:00: Kaggle lists its name and message, but of 2023-05-01 15:00 UTC" in lines[0]
    assert "is this machine's clock right?" in lines[1]
    # Another time the same words were sent is no reason to wait for ever.
    client.lists(f"{HEAD}\n{row.replace('05-01', '04-01')}\n")
    refresh(client.ledger, COMPETITION, 30, NOON + timedelta(hours=2))
    assert client.statuses() == ["failed", "sent"]


def listed(*rows: str, head: str = HEAD) -> list[Listed]:
    return read_list("\n".join([head, *rows]) + "\n")


def test_the_same_file_and_message_twice_is_told_apart_by_time():
    entries = [entry(), entry(date=(NOON + timedelta(minutes=5)).isoformat())]
    found = listed(
        "9,first.csv,2023-05-01T12:05:02Z,first,complete,0.2,", "8,first.csv,2023-05-01T12:00:30Z,first,complete,0.1,"
    )
    assert match(entries, found, COMPETITION) == {0: 1, 1: 0}
    # Only the second arrived: the first stays unmatched.
    assert match(entries, found[:1], COMPETITION) == {1: 0}
    # One that failed takes no other's place, whichever is nearer.
    entries = [entry(status="failed"), entry(date=(NOON + timedelta(minutes=40)).isoformat())]
    found = listed("9,first.csv,2023-05-01 12:10:00,first,complete,0.2,")
    assert match(entries, found, COMPETITION) == {1: 0}
    assert match(entries[:1], found, COMPETITION) == {0: 0}


def test_another_name_message_time_number_or_competition_is_no_match():
    good = "9,first.csv,2023-05-01 12:00:02,first,complete,0.2,"
    assert match([entry()], listed(good), COMPETITION) == {0: 0}
    assert match([entry()], listed(good.replace("12:00", "14:00")), COMPETITION) == {}
    assert match([entry()], listed(good.replace("first,", "second,")), COMPETITION) == {}
    assert match([entry()], listed(good.replace("first.csv", "other.csv")), COMPETITION) == {}
    assert match([entry(ref="8")], listed(good), COMPETITION) == {}
    assert match([entry()], listed(good), "another") == {}
    # By Kaggle's number whatever else has changed.
    assert match([entry(ref="9")], listed("9,x,2024-01-01 00:00:00,edited,complete,0.2,"), COMPETITION) == {0: 0}


def test_columns_in_another_order_and_missing_ones():
    found = listed("0.3,complete,first,first.csv", head="publicScore,status,description,fileName")
    assert match([entry()], found, COMPETITION) == {0: 0}
    assert match([entry(), entry()], found, COMPETITION) == {}, "without a date only what can be nothing else"
    assert match([entry()], found * 2, COMPETITION) == {}
    found = listed("first.csv,2023-05-01 12:00:01,0.3", head="fileName,date,publicScore")
    assert match([entry()], found, COMPETITION) == {0: 0}
    assert _updated(entry(), found[0]).status == "complete"
    found = listed("2023-05-01 12:00:01,first", head="Date,Description")
    assert match([entry()], found, COMPETITION) == {0: 0}
    assert _updated(entry(public="0.5", status="complete"), found[0]) == entry(public="0.5", status="complete")


@given(st.text(max_size=300))
def test_whatever_is_printed_is_a_list_or_one_line(text):
    for head in ("", HEAD + "\n"):
        try:
            found = read_list(head + text)
        except InputError as error:
            found, line = [], str(error)
            assert len(line.splitlines()) == 1
        assert match([entry()], found, COMPETITION) in ({}, {0: 0})
