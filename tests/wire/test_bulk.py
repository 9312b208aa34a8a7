"""Shows that many keys at once are hits plus one round trip of misses, and that one bad key is bad alone."""

from resp import ReplyError

ITEMS = """
CREATE TABLE items(id INTEGER PRIMARY KEY, n INTEGER);
WITH RECURSIVE i(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM i WHERE x < 200) INSERT INTO items SELECT x, x FROM i;
"""


def shop(forebay, database):
    return forebay({
        "sources": {"shop": {"url": f"sqlite:{database(ITEMS)}"}},
        "keyspaces": {"item:{id}": {"table": "items", "as": "column:n"},
                      # the absolute value of the least integer is none: an error of this key only
                      "sum:{id}": {"load": "SELECT CASE WHEN :id = 'bad' THEN abs(-9223372036854775807 - 1) ELSE :id END",
                                   "as": "text"}},
    })


def test_hits_are_answered_and_the_misses_are_one_round_trip(forebay, database):
    server = shop(forebay, database)
    with server.wire() as wire:
        wire.ask("GET", "item:7")
        before = server.source()
        keys = [f"item:{i}" for i in range(1, 51)] + ["item:7", "item:1", "item:900"]
        assert wire.ask("MGET", *keys) == [b"%d" % i for i in range(1, 51)] + [b"7", b"1", None]
        after = server.source()
        assert after["read_trips"] - before["read_trips"] == 1
        assert after["rows_wanted"] - before["rows_wanted"] == 50  # without the hit, the repeated ones once


def test_a_bad_key_of_a_batch_is_bad_alone(forebay, database):
    server = shop(forebay, database)
    with server.wire() as wire:
        keys = ["sum:1", "sum:bad", "sum:2"]
        before = server.source()["read_trips"]
        for key in keys:
            wire.send(b"*2\r\n$3\r\nGET\r\n$%d\r\n%s\r\n" % (len(key), key.encode()))
        answers = [wire.read() for _ in keys]
        assert answers[0] == b"1" and answers[2] == b"2"
        assert isinstance(answers[1], ReplyError) and str(answers[1]).startswith("SRCERR "), answers[1]
        assert 1 <= server.source()["read_trips"] - before <= 3
        answer = wire.ask("MGET", *keys)
        assert isinstance(answer, ReplyError) and str(answer).startswith("SRCERR "), answer
        assert wire.ask("MGET", "sum:1", "sum:2") == [b"1", b"2"]  # those it did not fail for are cached
