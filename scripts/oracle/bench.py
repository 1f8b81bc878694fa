"""Measures `coldcase crit decode -o` beside `crit decode -o` and `base64 -w76`.

usage: bench.py COLDCASE [ROUNDS]

Two images are made: a pagemap of 262,144 entries (one GiB of memory of which every page is an entry), and a ghost file of
64 MiB. Each round runs every command once, so that a change of the machine's pace meets all of them; crit, which takes
seconds, runs once. Medians are printed, and the most memory that coldcase took beyond the size
of its input (as the system tells it: never less than what this script takes itself).
"""

import os
import statistics
import struct
import sys
import tempfile

from frozen import varint

ENTRIES = 262_144
GHOST = 64 << 20


def entry(message):
    return struct.pack("<I", len(message)) + message


def make(directory):
    pagemap = os.path.join(directory, "pagemap-1.img")
    with open(pagemap, "wb") as file:
        file.write(struct.pack("<II", 0x54564319, 0x56084025) + entry(b"\x08\x01"))
        for page in range(ENTRIES):
            address = varint(0x7F0000000000 + page * 8192)
            file.write(entry(b"\x08" + address + b"\x10\x00\x20\x04\x28\x01"))
    ghost = os.path.join(directory, "ghost-file-1.img")
    content = os.path.join(directory, "content")
    # In pieces: a child's peak of memory starts at what its parent had.
    piece = os.urandom(1 << 20)
    with open(content, "wb") as plain, open(ghost, "wb") as file:
        # uid, gid, mode of a regular file.
        message = b"\x08\x00\x10\x00\x18" + varint(0o100644)
        file.write(struct.pack("<II", 0x54564319, 0x52583605) + entry(message))
        for _ in range(GHOST >> 20):
            plain.write(piece)
            file.write(piece)
    return pagemap, ghost, content


def run(command, out, by_stdout=False):
    """Runs a command that makes the file `out`; returns its user and system time in seconds, and its most memory in bytes."""
    # Not to be thrown away at the expense of the next one.
    if os.path.exists(out):
        os.unlink(out)
    actions = [(os.POSIX_SPAWN_OPEN, 1, out, os.O_WRONLY | os.O_CREAT, 0o600)] if by_stdout else []
    child = os.posix_spawnp(command[0], command, os.environ, file_actions=actions)
    _, status, usage = os.wait4(child, 0)
    if status != 0:
        sys.exit(f"{command}: status {status}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss << 10


def main():
    coldcase = sys.argv[1]
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 7
    with tempfile.TemporaryDirectory() as directory:
        pagemap, ghost, content = make(directory)
        out, crits = os.path.join(directory, "out"), os.path.join(directory, "crit.json")
        times = {"pagemap": [], "ghost file": [], "base64 -w76": []}
        memory = {"pagemap": 0, "ghost file": 0}
        for _ in range(rounds):
            for name, image in (("pagemap", pagemap), ("ghost file", ghost)):
                seconds, peak = run([coldcase, "crit", "decode", "-i", image, "-o", out], out)
                times[name].append(seconds)
                memory[name] = max(memory[name], peak - os.path.getsize(image))
            times["base64 -w76"].append(run(["base64", "-w76", content], out, by_stdout=True)[0])
        medians = {name: statistics.median(all_times) for name, all_times in times.items()}
        crit = {}
        for name, image in (("pagemap", pagemap), ("ghost file", ghost)):
            crit[name], _ = run(["crit", "decode", "-i", image, "-o", crits], crits)
            run([coldcase, "crit", "decode", "-i", image, "-o", out], out)
            with open(out, "rb") as ours, open(crits, "rb") as theirs:
                if ours.read() != theirs.read():
                    sys.exit(f"{name}: crit's text is another one")
        for name in ("pagemap", "ghost file"):
            print(
                f"{name}: coldcase {medians[name]:.3f} s, crit {crit[name]:.3f} s ({crit[name] / medians[name]:.0f} times),"
                f" {memory[name] / (1 << 20):.1f} MiB beyond the input"
            )
        ratio = medians["ghost file"] / medians["base64 -w76"]
        print(f"base64 -w76 of the content: {medians['base64 -w76']:.3f} s; the ghost file takes {ratio:.2f} times that")


main()
