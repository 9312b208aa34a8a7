"""`forebay journal`: what it says of a whole, a damaged and a torn journal, and its exit statuses. What salvage may do to
records is shown by tests/journal/rescue.c; here are the program's words."""

import os
import shutil

import pytest

from conftest import TOP
from test_cli import run

NAME = "00000000000000000042.seg"
MARK = 2560  # where the mark stands in the file; the one group, records 42 and 43, stands at 512


@pytest.fixture
def journal(tmp_path):
    folder = tmp_path / "journal"
    shutil.copytree(os.path.join(TOP, "tests/unit/journal-v1"), folder)
    return folder


def change(journal, at, data):
    with open(journal / NAME, "r+b") as file:
        file.seek(at)
        file.write(data)


def test_verify_says_ok(journal):
    said = run("journal", "verify", str(journal))
    assert said.returncode == 0
    assert said.stdout == "OK: records 42 to 43, 1 segment, 4.0 KiB: every checksum is right\n"


def test_inspect_fits_a_terminal_and_shows_segments_groups_and_keys(journal):
    segments, groups, records = (run("journal", "inspect", *more, str(journal)) for more in ([], ["--groups"], ["--records"]))
    assert all(said.returncode == 0 and max(map(len, said.stdout.split("\n"))) <= 80 for said in (segments, groups, records))
    assert f"{NAME}     4.0 KiB   64%        1  42 to 43\n" in segments.stdout
    assert "  at        512       1664 bytes  records 42 to 43\n  at       2560  mark\n" in groups.stdout
    assert "42  type 1           5 bytes  user:1  +\n" in records.stdout and "first" not in records.stdout


def test_damage_is_named_with_its_place_and_what_to_do(journal, tmp_path):
    change(journal, 640, b"\x01")
    said = run("journal", "verify", str(journal))
    assert said.returncode == 65
    assert said.stdout.startswith(f"DAMAGED: {NAME} at byte 512: the group's checksum is wrong, and what was written later "
                                  "stands at 2560\n  records 42 to 43 cannot be read\n")
    assert f"forebay journal salvage {journal} NEW-DIRECTORY" in said.stdout
    said = run("journal", "salvage", str(journal), str(tmp_path / "copy"))
    assert said.returncode == 65 and "records 42 to 43 cannot be read" in said.stdout
    assert said.stdout.endswith("0 segments; left out is what is said above\n")


def test_a_write_that_was_under_way_is_no_damage(journal):
    change(journal, MARK, bytes(64))
    change(journal, 1024, bytes(512))  # a sector that never reached the disk
    said = run("journal", "verify", str(journal))
    assert said.returncode == 0 and "ends at byte 512 with a write that was never acknowledged" in said.stdout
    assert said.stdout.endswith("OK: no records\n")


def test_salvage_reads_a_segment_without_its_head(journal, tmp_path):
    change(journal, 0, bytes(512))
    said = run("journal", "salvage", str(journal), str(tmp_path / "copy"))
    assert said.returncode == 65 and f"DAMAGED: {NAME}: does not begin as a segment does\n" in said.stdout
    assert "2 records copied" in said.stdout
    assert run("journal", "verify", str(tmp_path / "copy")).stdout.startswith("OK: records 42 to 43")
    again = run("journal", "salvage", str(journal), str(tmp_path / "copy"))
    assert again.returncode == 1 and "has segments in it" in again.stderr


@pytest.mark.parametrize("words", [["journal"], ["journal", "verify"], ["journal", "mend", "x"], ["journal", "salvage", "x"],
                                   ["journal", "verify", "x", "y"], ["journal", "verify", "--groups", "x"]])
def test_a_wrong_command_line_is_said_to_be_wrong(words):
    said = run(*words)
    assert said.returncode == 2 and said.stderr.startswith("forebay journal: ") and said.stdout == ""


def test_no_journal_is_a_failure(tmp_path):
    for folder, words in (tmp_path, "there is no journal in"), (tmp_path / "none", "No such file"):
        said = run("journal", "verify", str(folder))
        assert said.returncode == 1 and words in said.stderr
