"""Shows that the unit for systemd is one that systemd takes, that it starts what was built, and that it is hardened.

service.py UNIT PROGRAM"""

import os
import re
import shutil
import subprocess
import sys
import tempfile

EXPOSURE_MAX = 20  # tenths of what `systemd-analyze security` counts; 100 is a service that is kept from nothing

WANTED = {
    "Type": "notify", "DynamicUser": "yes", "StateDirectory": "forebay", "RuntimeDirectory": "forebay",
    "NoNewPrivileges": "yes", "ProtectSystem": "strict", "ProtectHome": "yes", "PrivateTmp": "yes",
    "CapabilityBoundingSet": "", "MemoryDenyWriteExecute": "yes", "RestrictAddressFamilies": "AF_INET AF_INET6 AF_UNIX",
    "RestartPreventExitStatus": "2 78", "WatchdogSec": "30",
}


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout


def main():
    unit, program = sys.argv[1:3]
    with open(unit, encoding="utf-8") as file:
        text = file.read()
    assert "@" not in text.replace("@system-service", "").replace("@privileged", ""), "something was not filled in"
    lines = [line.partition("=") for line in text.splitlines() if "=" in line and not line.startswith("#")]
    values = {name: value for name, _, value in lines}
    for name, value in WANTED.items():
        assert values.get(name) == value, f"{name} is {values.get(name)!r}, not {value!r}"
    reloads = [value for name, _, value in lines if name == "ExecReload"]
    assert [value.split()[-2:] for value in reloads][1] == ["-HUP", "$MAINPID"], reloads
    # What it starts is a command line that the program takes: its subcommands exist.
    for command in [values["ExecStart"], reloads[0]]:
        assert os.path.basename(command.split()[0]) == "forebay"
        run(program, "help", command.split()[1])
    if shutil.which("systemd-analyze") is None:
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = os.path.join(folder, "forebay.service")
        with open(copy, "w", encoding="utf-8") as file:
            file.write(re.sub(r"(?m)^(Exec\w+=)\S*/forebay ", lambda found: f"{found[1]}{os.path.abspath(program)} ", text))
        run("systemd-analyze", "verify", "--man=no", copy)
        run("systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE_MAX}", copy)


if __name__ == "__main__":
    main()
