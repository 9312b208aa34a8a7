#!/usr/bin/python3
"""Tests of the tests: deliberate wrong versions of the core, each of which must be caught.

    mutants.py PROJECT [--count SEEDS] [--cut INTERLEAVINGS] [--all] [NAME...]

Every patch in mutants/ (its first line says what is wrong) is applied to a copy of the sources; the scenarios, the
explorer and the simulator are built from it and run, until one of them notices (with --all, each is asked). A mutant that
nobody notices, a patch that does not apply and a program that does not compile are failures. The sources as they are come
first and must pass all of them. Prints TAP.
"""
import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

FLAGS = ["-std=gnu17", "-D_GNU_SOURCE", "-O1", "-g", "-w", "-Iinclude", "-Isrc", "-Itests/sim"]
PROGRAMS = ("scenario", "explore", "sim", "fleet")
BUILT = ("src/base", "src/policy", "src/rows", "src/core", "tests/sim")
ALONE = ("src/store/flow.c",)  # of a folder that needs more than the rest
COPIED = ("include", "src/tbl", "src/store", *BUILT)
TIMEOUT_S = 120


def run(command, cwd, timeout=TIMEOUT_S):
    try:
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, errors="replace",
                              timeout=timeout)
    except subprocess.TimeoutExpired:
        return None, "", "it does not end"
    return done.returncode, done.stdout, done.stderr


def compile_all(root, files, made):
    """Compile what is not in `made` (path: object); return all objects by path, or the compiler's complaint."""
    objects = {}
    for path in files:
        if path in made:
            objects[path] = made[path]
            continue
        target = root / (str(path).replace("/", "_") + ".o")
        code, _, complaint = run(["cc", *FLAGS, "-c", str(path), "-o", str(target)], root)
        if code != 0:
            return None, complaint
        objects[path] = target
    return objects, ""


def link(root, objects):
    world = [o for p, o in objects.items() if p.stem not in PROGRAMS]
    for name in PROGRAMS:
        main = objects[pathlib.Path("tests/sim") / (name + ".c")]
        code, _, complaint = run(["cc", "-o", name, str(main), *map(str, world), "-lpthread", "-lm", "-lssl", "-lcrypto"], root)
        if code != 0:
            return complaint
    return ""


def copy_sources(project, root):
    for folder in COPIED:
        shutil.copytree(project / folder, root / folder, ignore=shutil.ignore_patterns("mutants"))


def sources(root):
    return [p.relative_to(root) for folder in BUILT
            for p in sorted((root / folder).glob("*.c"))] + [pathlib.Path(name) for name in ALONE]


def ask_scenarios(root, _):
    code, out, _ = run(["./scenario", "tests/sim"], root)
    failed, total = len(re.findall(r"^not ok", out, re.M)), len(re.findall(r"^(?:not )?ok", out, re.M))
    return code, f"{failed} of {total} scenarios" if code in (0, 1) else "scenarios crash"


def ask_explorer(root, options):
    code, out, _ = run(["./explore", "--cut", str(options.cut)], root)
    rows = [(int(r), int(v)) for r, v in re.findall(r"(\d+) interleavings, (\d+) violations$", out, re.M)]
    runs, violations = sum(r for r, _ in rows), sum(v for _, v in rows)
    return code, f"{violations} of {runs} interleavings" if code in (0, 1) else "explorer " + crash(code)


def ask_simulator(root, options):
    code, out, _ = run(["./sim", "--count", str(options.count)], root)
    found = re.search(r"^sim: (\d+) seeds.* (\d+) violations$", out, re.M)
    return code, f"{found[2]} of {found[1]} seeds" if found and code in (0, 1) else "simulator " + crash(code)


def ask_fleet(root, options):
    code, out, _ = run(["./fleet", "--count", str(20 * options.count)], root)
    found = re.search(r"^fleet: (\d+) seeds.* (\d+) violations", out, re.M)
    return code, f"{found[2]} of {found[1]} lives" if found and code in (0, 1) else "fleet " + crash(code)


ASKED = {"scenarios": ask_scenarios, "explorer": ask_explorer, "simulator": ask_simulator, "fleet": ask_fleet}
FLEETS = "(fleet)"  # at the end of a claim: that one is the fleet's to notice


def judge(root, options, asks_all, claim=""):
    """What the programs say: a list of who noticed, and a sentence of figures."""
    noticed, figures = [], []
    for name, ask in ASKED.items():
        if not asks_all and (name == "fleet") != claim.endswith(FLEETS):
            continue
        code, figure = ask(root, options)
        figures.append(figure)
        if code != 0:
            noticed.append(name)
            if not asks_all:
                break
    return noticed, ", ".join(figures)


def crash(code):
    return "hangs" if code is None else f"crashes ({code})"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("project", type=pathlib.Path)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--cut", type=int, default=50000)
    parser.add_argument("--all", action="store_true", help="ask all of every mutant")
    options = parser.parse_args()
    project = options.project.resolve()
    patches = sorted((project / "tests/sim/mutants").glob("*.patch"))
    if options.names:
        patches = [p for p in patches if p.stem in options.names]
    os.environ["LC_ALL"] = "C"
    failures = 0
    print(f"1..{len(patches) + 1}", flush=True)
    with tempfile.TemporaryDirectory(prefix="forebay-mutants-") as scratch:
        sound = pathlib.Path(scratch) / "sound"
        copy_sources(project, sound)
        files = sources(sound)
        objects, complaint = compile_all(sound, files, {})
        complaint = complaint or link(sound, objects)
        noticed, figures = ([], "does not compile") if complaint else judge(sound, options, asks_all=True)
        is_fine = not complaint and not noticed
        print(f"{'ok' if is_fine else 'not ok'} 1 - the sources as they are: {figures}", flush=True)
        failures += not is_fine
        for number, patch in enumerate(patches, 2):
            claim = patch.read_text().splitlines()[0]
            root = pathlib.Path(scratch) / patch.stem
            copy_sources(project, root)
            code, out, err = run(["patch", "-p1", "--no-backup-if-mismatch", "-i", str(patch)], root)
            if code != 0:
                is_fine, verdict = False, "the patch does not apply: " + (out + err).strip().replace("\n", " ")
            else:
                same = {p: o for p, o in objects.items() if (root / p).read_bytes() == (sound / p).read_bytes()}
                mutated, complaint = compile_all(root, files, same)
                complaint = complaint or link(root, mutated)
                if complaint:
                    is_fine, verdict = False, "does not compile: " + complaint.splitlines()[0]
                else:
                    noticed, figures = judge(root, options, options.all, claim)
                    is_fine = bool(noticed)
                    verdict = f"caught by {', '.join(noticed)} ({figures})" if noticed else f"NOT caught ({figures})"
            print(f"{'ok' if is_fine else 'not ok'} {number} - {claim} {verdict}", flush=True)
            failures += not is_fine
            shutil.rmtree(root)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
