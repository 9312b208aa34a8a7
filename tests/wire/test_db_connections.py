"""Shows how Forebay comes to PostgreSQL and MariaDB: encrypted and with the server's name checked where the URL asks for
it, with its password, and never showing that password, whatever goes wrong."""

import subprocess

import pytest

import databases
import servers
from conftest import FOREBAY, server_or_skip
from test_tls import certificates  # noqa: F401  (a fixture)

SCHEMA = "CREATE TABLE t(id int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 10);"
ENCRYPTED = {"postgresql": "?sslmode=require", "mariadb": "?ssl-mode=required"}
CHECKED = {"postgresql": "?sslmode=verify-full&sslrootcert={ca}", "mariadb": "?ssl-mode=verify-identity&ssl-ca={ca}"}
HOW_ENCRYPTED = {
    "postgresql": "SELECT count(*) AS n FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE ssl AND "
                  "application_name = 'forebay'",
    "mariadb": "SELECT variable_value AS n FROM information_schema.global_status WHERE variable_name = "
               "'Ssl_finished_accepts'",
}


class Encrypted:
    """A server of its own that has a certificate, and a database in it."""

    def __init__(self, kind, certificates):
        self.kind = kind
        self.server = servers.KINDS[kind][0](tls=(certificates.path("server.crt"), certificates.path("server.key")))
        self.server.start()
        with self.server.connect() as connection:
            connection.run("CREATE DATABASE shop")
        with self.server.connect("shop") as connection:
            connection.script(SCHEMA)

    def config(self, cluster, options, password=None):
        return {"sources": {"shop": {"url": f"'{self.server.url('shop', with_password=False)}{options}'",
                                     "password": password or f"file:{cluster.password_file()}"}},
                "keyspaces": {"t:{id}": {"table": "t", "as": "column:v", "write": "write-through"}}}


@pytest.fixture(scope="module", params=["postgresql", "mariadb"])
def encrypted(request, cluster, tmp_path_factory):
    from test_tls import Certificates
    if not databases.is_built_in(FOREBAY, databases.SCHEMES[request.param]):
        pytest.skip(f"this build of Forebay has no driver for {databases.SCHEMES[request.param]}: URLs")
    server_or_skip(cluster, request.param)
    made = Certificates(str(tmp_path_factory.mktemp("certificates")))
    server = Encrypted(request.param, made)
    server.certificates = made
    yield server
    server.server.remove()


@pytest.mark.parametrize("options", [ENCRYPTED, CHECKED], ids=["encrypted", "checked"])
def test_connections_are_encrypted_where_the_url_says_so(forebay, cluster, encrypted, options):
    url_options = options[encrypted.kind].format(ca=encrypted.certificates.path("ca.crt"))
    server = forebay(encrypted.config(cluster, url_options))
    with server.wire() as wire, encrypted.server.connect("shop") as direct:
        assert wire.ask("GET", "t:1") == b"%d" % direct.one("SELECT v FROM t")
        assert wire.ask("INCRBY", "t:1", 1) == direct.one("SELECT v FROM t")
        assert int(direct.one(HOW_ENCRYPTED[encrypted.kind])) >= 2  # a reader and a writer


def check(tmp_path, config, **env):
    """forebay check: the exit status and what it printed."""
    from conftest import clean_environment, to_yaml
    path = tmp_path / "check.yaml"
    path.write_text(to_yaml(config) + "\n")
    result = subprocess.run([FOREBAY, "check", "-c", str(path)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True, timeout=30, env={**clean_environment(), **env})
    return result.returncode, result.stdout


def test_certificate_of_another_authority_is_refused(tmp_path, cluster, encrypted, certificates):  # noqa: F811
    options = CHECKED[encrypted.kind].format(ca=certificates.path("ca.crt"))
    status, text = check(tmp_path, encrypted.config(cluster, options))
    assert status == 69 and "ertificate" in text, text


@pytest.mark.parametrize("password", ["wr0ng-one/@:%", servers.PASSWORD])
def test_password_is_asked_for_and_never_shown(tmp_path, cluster, encrypted, password):
    config = encrypted.config(cluster, "", password="env:SHOP_PASSWORD")
    status, text = check(tmp_path, config, SHOP_PASSWORD=password)
    assert (status == 0) == (password == servers.PASSWORD), text
    if status != 0:
        assert status == 69 and "denied" in text or "authentication failed" in text, text
    encrypted.server.stop()
    try:
        stopped = check(tmp_path, config, SHOP_PASSWORD=password)
        assert stopped[0] == 69, stopped
    finally:
        encrypted.server.start()
    for shown in (password, servers._quoted(password)):
        assert shown not in text and shown not in stopped[1]


def test_database_that_is_not_there_and_tables_that_are_not_there_are_named(tmp_path, cluster, encrypted):
    config = encrypted.config(cluster, "")
    config["sources"]["shop"]["url"] = config["sources"]["shop"]["url"].replace("/shop'", "/none_such'")
    status, text = check(tmp_path, config)
    assert status == 69 and "none_such" in text, (status, text)
    config = encrypted.config(cluster, "")
    config["keyspaces"]["t:{id}"]["table"] = "tt"
    status, text = check(tmp_path, config)
    assert status == 78 and "'tt'" in text, (status, text)
