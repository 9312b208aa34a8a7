#!/usr/bin/python3
"""Tests of the tests: each rule of the journal is broken once, and the programs of this folder must notice.

    mutants.py PROJECT [NAME...]

Every row replaces one piece of text in a copy of the sources. The sources as they are come first and must pass. A mutant
that nobody notices, and a text that is no longer there exactly once, are failures. Prints TAP."""
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

FLAGS = ["-std=gnu17", "-D_GNU_SOURCE", "-O1", "-g", "-w", "-DNDEBUG", "-Iinclude", "-Isrc", "-Itests/journal"]
PROGRAMS = ("faults", "rot", "rescue", "crash")
TIMEOUT_S = 120

# name: (file, text, what stands there instead, and perhaps more such pairs). Not here, because something else notices as
# well: a later segment as proof in J1 (segments must follow each other), the sync of a new segment's zeros (its head's).
MUTANTS = {
    "acknowledged before it is synced": (
        "wal.c", "int r = wal->files->ops->sync(wal->files, wal->handle);", "int r = 0;"),
    "a sync that failed is asked again": (
        "wal.c", 'return give_up(wal, "syncing", r);', "return FB_UNKNOWN;"),
    "no mark": ("wal.c", "    if (wal->ends_with_mark)\n", "    if (true)\n"),
    "the mark in the sector of what it follows": (
        "wal.c", "uint64_t at = fb_round_up(wal->at, FB_SECTOR);", "uint64_t at = wal->at;"),
    "no salt": ("format.c", "    put(bytes, salt, 8);\n    return fb_crc32c(0, bytes, sizeof bytes);", "    return 0;"),
    "no notes of zeros": (
        "format.c", "if (!fb_is_zero(bytes + begin, end - begin))\n            continue;", "continue;"),
    "the checksums of what is in a group are not looked at": (
        "format.c", "if (fb_crc32c(seed, group + FB_GROUP_HEAD, used - FB_GROUP_HEAD) != head->crc)", "if (false)",
        "*ret_good = check_of(in + R_KEY, bytes - R_KEY) == head.check;", "*ret_good = true;"),
    "a record's own check is a CRC too": (
        "format.c", "return (uint32_t)fb_hash(&key, bytes, len);", "return fb_crc32c(0, bytes, len);"),
    "J1: what was written later does not matter": ("reader.c", "if (found > 0) /* J1 */", "if (false)"),
    "J1: any later head is proof, synced or not": ("reader.c", "&& ret_head->synced > beyond", ""),
    "J2: a head of zeros is damage": ("reader.c", "return FB_READ_TORN;\n    struct fb_group_head head;",
                                      "return damaged(r, \"no\");\n    struct fb_group_head head;"),
    "J3: a hole is damage": ("reader.c", "if (fb_group_has_hole(bytes, r->at, used)) /* J3 */", "if (false)"),
    "J4: everything at the end is torn": (
        "reader.c", 'return damaged(r, "%s, and no torn write looks like this", what); /* J4 */', "return FB_READ_TORN;"),
    "the last segment is not written anew": (
        "recover.c", "status == FB_OK && is_last ? keep_group", "status == FB_OK && false ? keep_group"),
    "the copy takes its name before it is synced": (
        "copy.c", "r = copy->files->ops->sync(copy->files, copy->handle);", ";"),
    "the old goes before the new is synced": (
        "copy.c", "    int r = fb_files_write_all(copy->files, copy->handle, sector,",
        "    copy->files->ops->unlink(copy->files, name);\n    copy->files->ops->sync_dir(copy->files);\n"
        "    int r = fb_files_write_all(copy->files, copy->handle, sector,"),
    "the copy has no mark": ("copy.c", "fb_group_head_put(&mark, copy->seed, sector);", ""),
    "nobody asks whether segments follow each other": (
        "recover.c", "if (follows <= known || (i == 0 && rec->accepts_gap))", "if (true)"),
    "a segment begins before the last one is synced": (
        "wal.c", "    if (fb_wal_sync(wal) != FB_OK) {\n        discard", "    if (false) {\n        discard"),
    "a segment has its name before its head is safe": (
        "wal.c", "        r = files->ops->sync(files, spare);\n", "        ;\n"),
    "the name of a segment is not synced": (
        "wal.c", "if ((r = files->ops->sync_dir(files)) < 0)", "if ((r = 0) < 0)"),
    "segments are recycled": (
        "wal.c", "int r = fb_files_zero(files, handle, bytes);",
        "int r = fb_files_zero(files, handle, bytes);\n    for (uint64_t a = 4; a < bytes; a += 100)\n"
        "        if (r == 0)\n            r = fb_files_write_all(files, handle, \"old\", 3, a);"),
    "the size of the file is not looked at": ("reader.c", "if (r->head.bytes != r->size)", "if (false)"),
    "an error of writing is passed over": (
        "files.c", "            return n < 0 ? (int)n : -EIO;", "            return 0;"),
    "a short write is taken for a whole one": ("files.c", "        done += (size_t)n;\n    }\n    return 0;",
                                               "        done = len;\n    }\n    return 0;"),
}


def run(command, cwd):
    try:
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, errors="replace", timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        return None, "it does not end"
    return done.returncode, done.stdout + done.stderr


def build(root, changed=None):
    """Compile what has changed (all, when None) and link; the compiler's complaint, or nothing."""
    sources = sorted(p for folder in ("src/base", "src/journal", "tests/journal") for p in (root / folder).glob("*.c")
                     if p.name not in ("bench.c", "tls.c"))
    for source in sources if changed is None else [changed]:
        code, complaint = run(["cc", *FLAGS, "-c", str(source), "-o", str(source) + ".o"], root)
        if code != 0:
            return complaint
    common = [str(s) + ".o" for s in sources if s.stem not in PROGRAMS]
    for name in PROGRAMS:
        code, complaint = run(["cc", "-o", name, f"tests/journal/{name}.c.o", *common, "-lpthread"], root)
        if code != 0:
            return complaint
    return ""


def ask(root):
    """Who notices, and what: '' when nobody does."""
    for name in PROGRAMS:
        code, said = run([f"./{name}", "--short"], root)
        if code != 0:
            words = re.search(r"^not ok \d+ - (.*)", said, re.M) or re.search(r"^# (.*)", said, re.M)
            return f"{name}: {words.group(1) if words else f'status {code}'}"
    return ""


def main():
    project, wanted = pathlib.Path(sys.argv[1]), sys.argv[2:]
    rows = {name: row for name, row in MUTANTS.items() if not wanted or any(w in name for w in wanted)}
    failed = 0
    print(f"1..{len(rows) + 1}", flush=True)
    with tempfile.TemporaryDirectory() as top:
        root = pathlib.Path(top)
        for folder in ("include", "src/tbl", "src/base", "src/journal", "tests/journal"):
            shutil.copytree(project / folder, root / folder)
        said = build(root) or ask(root)
        print(f"{'not ok' if said else 'ok'} 1 - the sources as they are pass{': ' + said if said else ''}", flush=True)
        failed += bool(said)
        for number, (name, (file, *pairs)) in enumerate(rows.items(), 2):
            path = root / "src/journal" / file
            text = path.read_text()
            broken = text
            for old, new in zip(pairs[::2], pairs[1::2]):
                broken = broken.replace(old, new) if broken and text.count(old) == 1 else None
            if broken is None:
                said, holds = "the text is not there once", False
            else:
                path.write_text(broken)
                complaint = build(root, path)
                said, holds = (complaint, False) if complaint else ((said := ask(root)), bool(said))
                path.write_text(text)
                run(["cc", *FLAGS, "-c", str(path), "-o", str(path) + ".o"], root)
            failed += not holds
            print(f"{'ok' if holds else 'not ok'} {number} - {name}: {said or 'nobody notices'}", flush=True)
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
