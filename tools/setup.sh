#!/bin/sh
# Install what is missing for building, testing, benchmarking or fuzzing: `tools/setup.sh build test bench fuzz`.
# Asks nothing, and says nothing when nothing is missing. Knows Debian and its relatives; elsewhere it names the packages.
set -eu
cd "$(dirname "$0")/.."

# A row is a Debian package, or package:command where any program of that name will do. redis-tools holds the server's
# program too; the package redis-server would only start a daemon nobody asked for.
build="gcc:gcc libc6-dev meson:meson ninja-build:ninja pkg-config:pkg-config libuv1-dev libssl-dev libsqlite3-dev libyaml-dev libmicrohttpd-dev libpq-dev libmariadb-dev"
test="libcmocka-dev libzstd-dev libjansson-dev libhiredis-dev g++:g++ patch:patch locales
      python3 python3-pytest python3-hypothesis python3-redis python3-psycopg2 python3-pymysql redis-tools:redis-cli
      php-cli:php php-redis php-predis ruby:ruby ruby-redis perl:perl libredis-perl
      nodejs:node npm:npm tcl:tclsh libsqlite3-tcl
      mariadb-server-core:mariadbd mariadb-client-core:my_print_defaults libxml2 tzdata"
# Programs of packages that would start a daemon nobody asked for: only unpacked, into build/tools. package:program
unpacked="prometheus:promtool prometheus-redis-exporter:prometheus-redis-exporter"
# PostgreSQL's package would make a cluster and start it: it is unpacked as a whole (postgres finds its files from where
# it stands; what it links to comes with libpq-dev and libxml2). MariaDB's programs have a package without a daemon.
postgresql=postgresql-15
fuzz="clang libclang-rt-14-dev libcmocka-dev"
bench="sysbench nutcracker redis-tools:redis-benchmark memcached:memcached util-linux:taskset"

say() { printf '%s\n' "setup: $*" >&2; }

is_there() {
    case $1 in
    *:*) command -v "${1#*:}" >/dev/null 2>&1 && return 0 ;;
    esac
    [ "$(dpkg-query -W -f '${db:Status-Status}' "${1%%:*}" 2>/dev/null)" = installed ]
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    else
        sudo "$@"
    fi
}

install_packages() {
    missing=
    for row in "$@"; do
        is_there "$row" || missing="$missing ${row%%:*}"
    done
    [ -n "$missing" ] || return 0
    if ! command -v apt-get >/dev/null 2>&1; then
        say "this is not Debian; please install what these Debian packages hold:$missing"
        exit 1
    fi
    if [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null 2>&1; then
        say "neither root nor sudo; please run as root: apt-get install$missing"
        exit 1
    fi
    say "installing$missing"
    log=$(mktemp)
    if ! { as_root apt-get update -qq &&
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing
    } </dev/null >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        say "apt-get could not install$missing (the whole log: $log)"
        exit 1
    fi
    rm -f "$log"
}

unpack_tools() {
    to=$PWD/build/tools
    for row in $unpacked; do
        package=${row%%:*} program=${row#*:}
        if command -v "$program" >/dev/null 2>&1 || [ -x "$to/bin/$program" ]; then
            continue
        fi
        say "unpacking $program into build/tools"
        scratch=$(mktemp -d)
        mkdir -p "$to/bin"
        # Without it the rest can still be tested; the wire tests say aloud what they skip.
        if (cd "$scratch" && chmod 755 . && apt-get download -qq "$package" && dpkg -x ./*.deb tree &&
            cp "tree/usr/bin/$program" "$to/bin/") </dev/null >"$scratch/log" 2>&1; then
            :
        else
            tail -n 3 "$scratch/log" >&2
            say "$program could not be fetched; its tests will be skipped"
        fi
        rm -rf "$scratch"
    done
}

unpack_postgresql() {
    to=$PWD/build/tools/$postgresql
    if ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 ||
        ls "$to"/usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1; then
        return 0
    fi
    say "unpacking $postgresql into build/tools"
    scratch=$(mktemp -d)
    mkdir -p build/tools
    # Compiled a second time for its JIT, it is half as large again; the tests run without.
    if (cd "$scratch" && chmod 755 . && apt-get download -qq "$postgresql" && dpkg -x ./*.deb tree &&
        rm -rf tree/usr/lib/postgresql/*/lib/bitcode tree/usr/share/doc tree/usr/share/man tree/usr/share/locale &&
        rm -rf "$to" && cp -R tree "$to") </dev/null >"$scratch/log" 2>&1; then
        :
    else
        tail -n 3 "$scratch/log" >&2
        say "$postgresql could not be fetched; its tests will be skipped"
    fi
    rm -rf "$scratch"
}

# The clients of the wire tests that Debian does not carry. They live with what is built; the lock file pins them.
install_npm_clients() {
    to=build/npm
    if cmp -s tests/wire/npm/package-lock.json "$to/.installed"; then
        return 0
    fi
    say "fetching the Node clients of the wire tests into $to"
    mkdir -p "$to"
    cp tests/wire/npm/package.json tests/wire/npm/package-lock.json tests/wire/npm/.npmrc "$to/"
    if (cd "$to" && npm ci --loglevel=error </dev/null >npm.log 2>&1); then
        cp tests/wire/npm/package-lock.json "$to/.installed"
    else
        # Without a registry the rest can still be tested; the wire tests say aloud that they skip these clients.
        tail -n 5 "$to/npm.log" >&2
        say "the Node clients could not be fetched; their tests will be skipped"
    fi
}

[ $# -gt 0 ] || set -- build
for part in "$@"; do
    case $part in
    build) install_packages $build ;;
    test) install_packages $test && unpack_tools && unpack_postgresql && install_npm_clients && tools/redis-tests ;;
    bench) install_packages $bench ;;
    fuzz) install_packages $fuzz ;;
    *)
        say "unknown part '$part'; known are build, test, bench, fuzz"
        exit 2
        ;;
    esac
done
