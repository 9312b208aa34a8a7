"""Checks the checkout against rules.py and prints TAP: one test for the rule, one that shows that the rule can fail."""

import os
import sys

import rules

SKIPPED_FOLDERS = (".git", "node_modules", "__pycache__", ".pytest_cache", ".hypothesis")
SKIPPED_FILES = ("LICENSE",)


def read_tree(top):
    tree = {}
    for place, folders, files in os.walk(top):
        folders[:] = [name for name in folders if name not in SKIPPED_FOLDERS and
                      not (place == top and name.startswith("build"))]
        for name in files:
            path = os.path.relpath(os.path.join(place, name), top).replace(os.sep, "/")
            if name in SKIPPED_FILES or os.path.islink(os.path.join(place, name)):
                continue
            try:
                with open(os.path.join(place, name), encoding="utf-8") as file:
                    tree[path] = file.read()
            except UnicodeDecodeError:
                continue  # a picture or a database: nothing for these rules
    return tree


def main():
    tree = read_tree(os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else "."))
    results = []
    for rule, breaks, holds in rules.RULES:
        name = rule.__name__
        findings = rule(tree)
        if rule in rules.WARN_ONLY:
            for finding in findings:
                print("# warning:", finding)
            findings = []
        results.append((name, findings))
        wrong = [f"accepts what it must refuse: {bad}" for bad in breaks if not rule(bad)]
        wrong += [f"refuses what it must accept: {finding}" for finding in rule(holds)]
        results.append((name + "_can_fail", wrong))
    print(f"1..{len(results)}")
    for number, (name, findings) in enumerate(results, 1):
        print("not ok" if findings else "ok", number, "-", name)
        for finding in findings:
            print("#  ", finding.replace("\n", "\n#   "))
    return 1 if any(findings for _, findings in results) else 0


if __name__ == "__main__":
    sys.exit(main())
