"""Shows that `forebay init` with a database of PostgreSQL or MariaDB writes a configuration that is accepted and fits, and
that the password stays out of the file."""

import subprocess

import pytest

from conftest import FOREBAY, clean_environment
from servers import PASSWORD

SCHEMA = """
CREATE TABLE customers(id {int} PRIMARY KEY, name {text});
"""


def run(folder, *words, **variables):
    return subprocess.run([FOREBAY, *words], cwd=folder, text=True, capture_output=True, check=False,
                          env={**clean_environment(), **variables})


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_init_writes_what_check_accepts_and_no_password(kind, make_database, tmp_path):
    database = make_database(kind).make(SCHEMA)
    end = run(tmp_path, "init", database.server.url(database.name), "--name", "shop", "-o", "forebay.yaml")
    assert end.returncode == 0, end.stderr
    assert "FOREBAY_SOURCE_SHOP_PASSWORD" in end.stderr and "1 table mapped, 0 left as comments" in end.stderr
    written = (tmp_path / "forebay.yaml").read_text()
    assert "    password: env:FOREBAY_SOURCE_SHOP_PASSWORD\n" in written and "  customer:{id:int}:\n" in written
    assert PASSWORD not in written and "s3cret" not in written
    end = run(tmp_path, "check", FOREBAY_SOURCE_SHOP_PASSWORD=PASSWORD)
    assert (end.returncode, end.stdout) == (0, "forebay.yaml: 1 source, 1 keyspace: all is well\n"), end.stderr


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_names_in_other_encodings_are_read_or_refused(make_database, tmp_path, encoding):
    server = make_database("postgresql").make(SCHEMA).server
    name = f"in_{encoding.lower()}"
    server.connect().run(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C'")
    other = server.connect(name)
    other.run("SET client_encoding = 'LATIN1'")
    other.raw.set_client_encoding("LATIN1")
    other.run("CREATE TABLE t(id int PRIMARY KEY, na\u00efve int)")
    end = run(tmp_path, "init", server.url(name), "-o", f"{name}.yaml")
    if encoding == "SQL_ASCII":  # nobody knows what the bytes mean
        assert end.returncode == 69 and "invalid byte sequence" in end.stderr
    else:
        assert "1 table mapped" in end.stderr
    other.close()


@pytest.mark.parametrize("url", ["postgresql://me@127.0.0.1:1/x?sslmode=disable&password=pst",
                                 "postgresql://me@127.0.0.1:1/x?password=pst", "postgresql://me:pst@127.0.0.1:1/x"])
def test_password_in_a_url_is_refused_and_not_shown(tmp_path, url):
    end = run(tmp_path, "check", "--source", url, "--map", "t:{id}=t")
    assert end.returncode == 78 and "a password does not belong into a URL" in end.stderr
    assert "pst" not in end.stderr + end.stdout


def test_variable_that_a_setting_names_is_not_called_unknown(tmp_path, database):
    database("CREATE TABLE t(id INTEGER PRIMARY KEY);")
    (tmp_path / "forebay.yaml").write_text("server: {password: env:FOREBAY_OF_CLIENTS}\n"
                                           "sources: {s: {url: sqlite:shop.db}}\nkeyspaces:\n  t:{id}: {table: t}\n")
    end = run(tmp_path, "check", FOREBAY_OF_CLIENTS="long enough", FOREBAY_NOTHING="x")
    assert end.returncode == 0 and "no setting is called FOREBAY_NOTHING" in end.stderr
    assert "FOREBAY_OF_CLIENTS" not in end.stderr
