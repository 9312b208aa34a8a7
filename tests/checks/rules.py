"""The rules of the house, each a function from a tree to a list of findings.

A tree is a dict from path (relative to the checkout, with '/') to text, so that a rule can be shown a made-up one:
every rule comes with trees that it must object to and one that it must accept."""

import os
import re
import subprocess
import tempfile

# Which folder stands on which floor; a file includes only its own floor or lower.
FLOORS = {
    "server": 5, "admin": 5, "cli": 5,
    "engine": 4, "conf": 4,
    "source": 3, "store": 3, "journal": 3,
    "core": 2,
    "policy": 1, "proto": 1, "rows": 1,
    "base": 0, "tbl": 0,
}

# Folders that see less than their floor would allow: they use the cache through its public API alone, and beside it
# only pure functions.
SEES_ONLY = {
    "server": {"server", "proto", "conf", "base", "tbl"},
    "admin": {"admin", "server", "proto", "base", "tbl"},
    "cli": {"cli", "admin", "server", "proto", "conf", "journal", "base", "tbl"},
    "conf": {"conf", "policy", "proto", "rows", "base", "tbl"},
}

# The libraries of others, and the folders that may know them.
LIBRARIES = {
    "uv.h": {"server", "cli"},
    "sqlite3.h": {"source", "cli"},
    "libpq-fe.h": {"source"},
    "mysql.h": {"source"},
    "yaml.h": {"conf"},
    "microhttpd.h": {"admin"},
}

BANNED = {
    r"strcpy|strcat|sprintf|vsprintf|gets": "writes without a bound",
    r"strtok|strtok_r": "keeps state and changes its input",
    r"atoi|atol|atoll|atof": "cannot say that the text is no number",
    r"alloca": "cannot fail visibly",
}

# What is done in one place only. (pattern, where it may stand, what to use instead)
ONLY_IN = [
    (r"(?<![\w>.])(clock_gettime|gettimeofday|time|nanosleep|clock_nanosleep|usleep|sleep)\s*\(", ["src/base/clock.c"],
     "time comes from base/clock.h, below the engine as an argument"),
    (r"(?<![\w>.])(getrandom|getentropy|rand|srand|random|rand_r|arc4random)\s*\(", ["src/base/rng.c"],
     "randomness comes from base/rng.h, below the engine as an argument"),
    (r"(?<![\w>.])(malloc|calloc|realloc|free|strdup|strndup|asprintf|vasprintf)\s*\(", ["src/base/mem.c"],
     "memory comes from base/mem.h, so that a test can make it fail"),
    (r"\bpthread_(mutex|cond|rwlock|spin)_\w+\s*\(", ["src/base/lock.c"],
     "locks come from base/lock.h, which checks their order"),
    (r"(?<![\w>.])(open|openat|fopen|fdopen|creat)\s*\(", ["src/conf/", "src/cli/", "src/server/users_file.c", "src/journal/files.c"],
     "only what reads the configuration and the tools open files"),
    (r"\b(fb_resp_write_errorf?|fb_call_say)\s*\(", ["src/proto/", "src/server/errors.c", "src/server/session.c",
                                                     "src/server/call.h"],
     "errors come from tbl/errors.h by fb_call_error, where a test asks for each"),
]

# The one loop that polls for a condition with a deadline, and the rule's own examples.
MAY_SLEEP = ("tests/db/servers.py", "tests/wire/hostile.py", "tests/checks/")  # hostile: readers that are slow

LINES_MAX = 600
COLUMNS_MAX = 120
TEXT_ENDINGS = (".c", ".h", ".py", ".sh", ".md", ".build", ".yaml", ".yml", ".js", ".txt", ".sql", ".json")


def folder(path):
    """The source folder a file belongs to: 'core' for src/core/shard.c, 'public' for the API, else None."""
    parts = path.split("/")
    if parts[:2] == ["include", "forebay"]:
        return "public"
    return parts[1] if parts[0] == "src" and len(parts) > 2 else None


def is_c(path):
    return path.endswith((".c", ".h"))


def without_comments(text, strings=True):
    """The text with comments (and the insides of strings) blanked, so that lines keep their numbers."""
    def blank(match):
        word = match.group(0)
        if word[0] in "\"'":
            return word[0] + " " * (len(word) - 2) + word[-1] if strings else word
        return re.sub(r"[^\n]", " ", word)
    return re.sub(r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'", blank, text, flags=re.S)


def includes(text):
    """(line number, bracket, name) of each #include."""
    for number, line in enumerate(without_comments(text, strings=False).split("\n"), 1):
        match = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
        if match:
            yield number, match.group(1), match.group(2)


def included_folder(name):
    """The folder of a file as it is named in an #include: 'core' for core/shard.h, 'public' for forebay/status.h."""
    first = name.split("/")[0]
    if first == "forebay":
        return "public"
    return first if "/" in name else None


def floors(tree):
    found = []
    for path, text in sorted(tree.items()):
        here = folder(path)
        if here is None or not is_c(path):
            continue
        if here != "public" and here not in FLOORS:
            found.append(f"{path}:1: folder '{here}' stands on no floor; add it to FLOORS in tests/checks/rules.py")
            continue
        for number, bracket, name in includes(text):
            there = included_folder(name)
            if bracket == "<":
                if name in LIBRARIES and here not in LIBRARIES[name]:
                    found.append(f"{path}:{number}: <{name}> belongs to {', '.join(sorted(LIBRARIES[name]))}")
                continue
            if here == "public":
                found.append(f"{path}:{number}: a public header includes \"{name}\", which is not installed")
            elif there == "public":
                found.append(f"{path}:{number}: write <{name}>: it is the public API")
            elif there is None:
                found.append(f"{path}:{number}: \"{name}\" without its folder")
            elif there not in FLOORS:
                found.append(f"{path}:{number}: \"{name}\" is on no floor")
            elif here in SEES_ONLY and there not in SEES_ONLY[here]:
                found.append(f"{path}:{number}: {here}/ may not see {there}/ (\"{name}\")")
            elif FLOORS[there] > FLOORS[here]:
                found.append(f"{path}:{number}: {here}/ (floor {FLOORS[here]}) includes {there}/ "
                             f"(floor {FLOORS[there]}): \"{name}\"")
    return found


def cycles(tree):
    edges = {}
    for path, text in tree.items():
        here = folder(path)
        if here is None or not is_c(path):
            continue
        for _, _, name in includes(text):
            there = included_folder(name)
            if there is not None and there != here and (there == "public" or there in FLOORS):
                edges.setdefault(here, {}).setdefault(there, f"{path} includes {name}")
    found, done = [], set()

    def walk(node, trail):
        if node in trail:
            ring = trail[trail.index(node):] + [node]
            found.append("cycle: " + "; ".join(edges[a][b] for a, b in zip(ring, ring[1:])))
            return
        if node in done:
            return
        for there in sorted(edges.get(node, {})):
            walk(there, trail + [node])
        done.add(node)

    for node in sorted(edges):
        walk(node, [])
    return found


# Headers of libraries that a build may go without, or that do not lie where the compiler looks, and their packages.
OPTIONAL = {"libpq-fe.h": "libpq", "mysql.h": "libmariadb"}


def flags_of_libraries():
    """The compiler's flags for the optional libraries, and the headers of those that are not there."""
    flags, absent = [], []
    for header, package in OPTIONAL.items():
        run = subprocess.run(["pkg-config", "--cflags", package], capture_output=True, text=True)
        if run.returncode == 0:
            flags += run.stdout.split()
        else:
            absent.append(header)
    return flags, absent


def headers_stand_alone(tree):
    """Each header compiles alone, and twice in a row; the public ones as strict C99 and as C++ too."""
    cc, cxx = os.environ.get("CC", "cc"), os.environ.get("CXX", "c++")
    warn = ["-Wall", "-Wextra", "-Werror", "-fsyntax-only"]
    found = []
    flags, absent = flags_of_libraries()

    def needs_absent(path):
        return any(name in absent or ("src/" + name in tree and "src/" + name != path and needs_absent("src/" + name))
                   for _, _, name in includes(tree[path]))

    with tempfile.TemporaryDirectory() as top:
        for path, text in tree.items():
            if path.endswith(".h"):
                os.makedirs(os.path.join(top, os.path.dirname(path)), exist_ok=True)
                with open(os.path.join(top, path), "w") as file:
                    file.write(text)
        for path in sorted(tree):
            if not path.endswith(".h") or folder(path) is None or needs_absent(path):
                continue
            ways = [("as C17", [cc, "-std=gnu17", "-D_GNU_SOURCE", "-Isrc", *flags, "-x", "c"])]
            if folder(path) == "public":
                ways += [("as C99", [cc, "-std=c99", "-pedantic-errors", "-x", "c"]),
                         ("as C++", [cxx, "-std=c++11", "-pedantic-errors", "-x", "c++"])]
            for how, command in ways:
                run = subprocess.run(command + warn + ["-Iinclude", "-include", path, "-include", path, "/dev/null"],
                                     cwd=top, capture_output=True, text=True)
                if run.returncode != 0:
                    found.append(f"{path}:1: does not compile alone {how}\n{run.stderr.strip()}")
    return found


def own_header_first(tree):
    found = []
    for path, text in sorted(tree.items()):
        own = path[:-2] + ".h"
        if path.endswith(".c") and folder(path) is not None and own in tree:
            first = next(includes(text), None)
            if first is None or "src/" + first[2] != own:
                found.append(f"{path}:{first[0] if first else 1}: \"{own[4:]}\" comes first, or it may lean on others")
    return found


def banned_functions(tree):
    found = []
    for path, text in sorted(tree.items()):
        if not is_c(path):
            continue
        for number, line in enumerate(without_comments(text).split("\n"), 1):
            for names, why in BANNED.items():
                match = re.search(rf"\b({names})\s*\(", line)
                if match:
                    found.append(f"{path}:{number}: {match.group(1)} {why}")
    return found


def one_place_only(tree):
    found = []
    for path, text in sorted(tree.items()):
        if not is_c(path) or folder(path) is None:
            continue
        for number, line in enumerate(without_comments(text).split("\n"), 1):
            for pattern, places, instead in ONLY_IN:
                match = re.search(pattern, line)
                if match and not path.startswith(tuple(places)):
                    found.append(f"{path}:{number}: {match.group(0)}…): {instead}")
    return found


def tests_do_not_sleep(tree):
    found = []
    for path, text in sorted(tree.items()):
        if not path.startswith("tests/") or not path.endswith((".c", ".py")) or path.startswith(MAY_SLEEP):
            continue
        code = without_comments(text) if path.endswith(".c") else re.sub(r"#[^\n]*", "", text)
        for number, line in enumerate(code.split("\n"), 1):
            if re.search(r"(?<!^void )\b(nanosleep|usleep|sleep|fb_clock_sleep)\s*\(", line):
                found.append(f"{path}:{number}: waits for time; wait for a condition, or move a virtual clock")
    return found


def folders_explain_themselves(tree):
    folders = {path.rsplit("/", 1)[0] for path in tree if is_c(path) and folder(path) not in (None, "public")}
    return [f"{name}/: has no README.md" for name in sorted(folders) if name + "/README.md" not in tree]


def files_open_with_a_sentence(tree):
    found = []
    for path, text in sorted(tree.items()):
        if path.startswith(("src/", "include/", "tests/", "examples/")) and is_c(path):
            if not re.match(r"/\* ?\S[^\n]*\w", text):
                found.append(f"{path}:1: does not open with a comment that says what the file knows or shows")
    return found


def clean_text(tree):
    found = []
    for path, text in sorted(tree.items()):
        if not path.endswith(TEXT_ENDINGS) and "." in os.path.basename(path):
            continue
        for number, line in enumerate(text.split("\n"), 1):
            if line != line.rstrip():
                found.append(f"{path}:{number}: white space at the end of the line")
            if "\t" in line and os.path.basename(path) != "Makefile":
                found.append(f"{path}:{number}: a tab")
        if text and not text.endswith("\n"):
            found.append(f"{path}: no line end at the end of the file")
    return found


def links_lead_somewhere(tree):
    """Links between pages, and each page of docs/ can be reached from the README."""
    found, linked = [], set()
    for path, text in sorted(tree.items()):
        if not path.endswith(".md"):
            continue
        for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", re.sub(r"(?s)```.*?```|`[^`\n]*`", "", text)):
            target = os.path.normpath(os.path.join(os.path.dirname(path), link))
            linked |= {target} if path == "README.md" else set()
            if "://" not in link and target not in tree and not any(name.startswith(target + "/") for name in tree):
                found.append(f"{path}: there is no {link}")
    return found + [f"{path}: the README does not lead to it" for path in sorted(tree)
                    if re.fullmatch(r"docs/[^/]+\.md", path) and "README.md" in tree and path not in linked]


def lock_file_names_no_registry(tree):
    return [f"{path}: records where packages came from; run npm with the .npmrc beside it"
            for path, text in sorted(tree.items()) if path.endswith("package-lock.json") and '"resolved"' in text]


def long_files(tree):
    return [f"{path}: {text.count(chr(10))} lines, more than {LINES_MAX}: is there a seam?"
            for path, text in sorted(tree.items()) if is_c(path) and text.count("\n") > LINES_MAX]


def long_lines(tree):
    found = []
    for path, text in sorted(tree.items()):
        if path.endswith((".c", ".h", ".py")):
            numbers = [number for number, line in enumerate(text.split("\n"), 1) if len(line) > COLUMNS_MAX]
            if numbers:
                found.append(f"{path}: more than {COLUMNS_MAX} columns in line {', '.join(map(str, numbers))}")
    return found


# (rule, a tree it must object to, a tree it must accept)
RULES = [
    (floors,
     [{"src/base/a.c": '/* a */\n#include "core/shard.h"\n'},
      {"src/server/a.c": '/* a */\n#include "engine/engine.h"\n'},
      {"src/cli/a.c": '/* a */\n#include "rows/pattern.h"\n'},
      {"src/core/a.c": '/* a */\n#include <uv.h>\n'},
      {"src/attic/a.c": "/* a */\n"},
      {"include/forebay/forebay.h": '#include "base/mem.h"\n'}],
     {"src/core/a.c": '/* #include "server/server.h" */\n#include "base/mem.h"\n#include <forebay/status.h>\n',
      "src/server/a.c": '#include "proto/resp.h"\n#include <uv.h>\n'}),
    (cycles,
     [{"src/proto/a.h": '#include "rows/b.h"\n', "src/rows/b.h": '#include "proto/a.h"\n'},
      {"src/policy/a.h": '#include "proto/a.h"\n', "src/proto/a.h": '#include "rows/a.h"\n',
       "src/rows/a.h": '#include "policy/a.h"\n'}],
     {"src/rows/a.c": '#include "rows/b.h"\n#include "base/mem.h"\n', "src/proto/a.c": '#include "base/mem.h"\n'}),
    (headers_stand_alone,
     [{"src/base/a.h": "uint32_t a(void);\n"},
      {"src/base/a.h": "struct a { int b; };\n"},
      {"include/forebay/a.h": "#ifndef A\n#define A\nstatic inline int a(int class) { return class; }\n#endif\n"},
      {"include/forebay/a.h": "#ifndef A\n#define A\nenum { ONE = 1, };\nstruct a { int b; } c[];\n#endif\n"}],
     {"src/base/a.h": "#ifndef A\n#define A\n#include <stdint.h>\nuint32_t a(void);\n#endif\n"}),
    (own_header_first,
     [{"src/base/a.c": '#include <stdio.h>\n#include "base/a.h"\n', "src/base/a.h": ""}],
     {"src/base/a.c": '#include "base/a.h"\n#include <stdio.h>\n', "src/base/a.h": "", "src/base/b.c": "int b;\n"}),
    (banned_functions,
     [{"src/base/a.c": f"x = {name}(a, b);\n"} for name in ("strcpy", "sprintf", "atoi", "alloca", "strtok")],
     {"src/base/a.c": '/* strcpy(a) */ snprintf(a, 1, "strcat(x)"); my_strcpy(b);\n'}),
    (one_place_only,
     [{"src/core/a.c": f"x = {call};\n"} for call in
      ("clock_gettime(0, &t)", "time(NULL)", "getrandom(p, 1, 0)", "malloc(3)", "free(p)",
       "pthread_mutex_lock(&m)", 'fopen("a", "r")', 'fb_resp_write_error(&out, "ERR", text)')],
     {"src/base/clock.c": "clock_gettime(0, &t);\n", "src/base/mem.c": "free(p);\n",
      "src/core/a.c": "fb_mem_free(p); driver->open(1); uptime(1); s.time(x); /* malloc(3) */\n",
      "src/conf/a.c": 'fopen("a", "r");\n'}),
    (tests_do_not_sleep,
     [{"tests/unit/test_a.c": "usleep(10);\n"}, {"tests/wire/test_a.py": "    time.sleep(0.1)\n"}],
     {"tests/unit/test_a.c": "/* no sleep( here */\n", "tests/db/servers.py": "time.sleep(0.01)\n"}),
    (folders_explain_themselves,
     [{"src/core/a.c": ""}],
     {"src/core/a.c": "", "src/core/README.md": ""}),
    (files_open_with_a_sentence,
     [{"src/core/a.c": "#include <stdio.h>\n"}, {"tests/unit/test_a.c": "\n/* late */\n"},
      {"src/core/a.h": "/*\n */\n"}],
     {"src/core/a.c": "/* The table. */\n", "tests/unit/test_a.c": "/* Shows that\n * it holds. */\n"}),
    (clean_text,
     [{"src/a.c": "int a; \n"}, {"src/a.c": "\tint a;\n"}, {"a.md": "text"},
      {"tools/a": "echo\t1\n"}],
     {"src/a.c": "int a;\n", "Makefile": "a:\n\tb\n", "a.md": "", "picture.png": "\t \n"}),
    (links_lead_somewhere,
     [{"docs/a.md": "[b](b.md)\n"}, {"README.md": "[a](docs/a.md#part)\n"},
      {"README.md": "no link: docs/a.md\n", "docs/a.md": ""}],
     {"README.md": "[a](docs/a.md#part), [out](https://example.org/x), `[c](d)`\n", "docs/a.md": "[src](../src)\n",
      "src/a.c": ""}),
    (lock_file_names_no_registry,
     [{"tests/wire/npm/package-lock.json": '"resolved": "https://r/a.tgz"'}],
     {"tests/wire/npm/package-lock.json": '"integrity": "sha512"', "docs/a.md": '"resolved"'}),
    (long_files,
     [{"src/a.c": "\n" * 601}],
     {"src/a.c": "\n" * 600}),
    (long_lines,
     [{"src/a.c": "x" * 121 + "\n"}],
     {"src/a.c": "é" * 120 + "\n"}),
]

# Signals, not walls.
WARN_ONLY = {long_files, long_lines}
