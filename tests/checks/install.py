"""Shows that what `make install` installs can be used: a program that is compiled with nothing but pkg-config's answer,
as C99 and as C++, reads a value through a source of its own; and the library exports its public functions only.

install.py BUILD SOURCE"""

import os
import re
import subprocess
import sys
import tempfile

PROGRAM = """
#include <stdio.h>
#include <forebay/forebay.h>

static fb_status load(void *user, fb_bytes key, fb_buf *ret_value, fb_err *reterr) {
    (void)user; (void)reterr;
    return fb_buf_append(ret_value, key.data, key.len);
}

int main(void) {
    fb_cache *cache;
    fb_source *source;
    fb_err err;
    fb_buf value = FB_BUF_INIT;
    fb_callbacks callbacks = {load, NULL, NULL, NULL};
    fb_keyspace_options ks = FB_KEYSPACE_OPTIONS_INIT;
    if (fb_open(NULL, &cache, &err) != FB_OK ||
        fb_source_callbacks(cache, "own", &callbacks, NULL, &source, &err) != FB_OK)
        return 1;
    ks.pattern = "greeting:{id:int}";
    ks.source = source;
    if (fb_keyspace_add(cache, &ks, &err) != FB_OK || fb_get(cache, FB_STR("greeting:7"), &value, &err) != FB_OK) {
        fprintf(stderr, "%s\\n", err.text);
        return 1;
    }
    printf("%.*s", (int)value.len, value.data);
    fb_buf_free(&value);
    fb_close(cache);
    return 0;
}
"""


def run(*command, **more):
    done = subprocess.run(command, capture_output=True, text=True, **more)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout


def main():
    build, source = sys.argv[1:3]
    with tempfile.TemporaryDirectory() as top:
        run("meson", "install", "-C", build, "--no-rebuild", "--quiet", "--destdir", top)
        files = {os.path.join(place, name) for place, _, names in os.walk(top) for name in names}
        [pc] = [path for path in files if path.endswith("/forebay.pc")]
        [binary] = [path for path in files if path.endswith("/bin/forebay")]
        [unit] = [path for path in files if path.endswith("/lib/systemd/system/forebay.service")]
        libraries = os.path.dirname(os.path.dirname(pc))
        env = dict(os.environ, PKG_CONFIG_PATH=os.path.dirname(pc), PKG_CONFIG_SYSROOT_DIR=top,
                   LD_LIBRARY_PATH=libraries)

        assert run(binary, "version").startswith("forebay ")
        with open(unit, encoding="utf-8") as file:
            assert f"ExecStart={binary[len(top):]} serve" in file.read()
        flags = run("pkg-config", "--cflags", "--libs", "forebay", env=env).split()
        for compiler, standard, suffix in [("cc", "c99", "c"), ("c++", "c++11", "cpp")]:
            text, program = os.path.join(top, f"program.{suffix}"), os.path.join(top, f"program-{suffix}")
            with open(text, "w", encoding="utf-8") as file:
                file.write(PROGRAM)
            run(compiler, f"-std={standard}", "-Wall", "-Wextra", "-Werror", "-pedantic-errors", text, "-o", program,
                *flags)
            assert run(program, env=env) == "greeting:7"

        symbols = run("nm", "-D", "--defined-only", os.path.join(libraries, "libforebay.so"))
        exported = set(re.findall(r" [A-Z] (\w+)", symbols))
        headers = [os.path.join(source, "include", "forebay", name) for name in ("forebay.h", "status.h")]
        run(sys.executable, os.path.join(source, "tools", "exports"), os.path.join(top, "wanted"), *headers)
        with open(os.path.join(top, "wanted"), encoding="utf-8") as file:
            wanted = set(re.findall(r"\bfb_\w+", file.read()))
        assert exported == wanted, f"exported, not public: {exported - wanted}; public, not exported: {wanted - exported}"


if __name__ == "__main__":
    main()
