"""What lldb says of our cores of aarch64 and 32-bit processes, against what it says of the cores that gdb wrote of the same processes.

usage: other_machines.py COLDCASE CASES [CASE...]

CASES is the corpus' folder of them. Frames of all threads have to be the same, and all registers that gdb's core has and images hold. The exit
status is the number of threads that differ.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile

from frozen import HERE, ran

CASES = [
    "aarch64/01-looper-4k-max", "aarch64/01-looper-4k-a72", "aarch64/01-looper-16k-max", "aarch64/02-threads-4k-max", "aarch64/02-threads-4k-max-va48",
    "aarch64/02-threads-4k-a72", "aarch64/02-threads-16k-max", "aarch64/03-looper-gcs-4k-max", "aarch64/03-threads-gcs-4k-max", "aarch64/04-mte-4k-max",
    "aarch64/06-threads-old-4k", "core/08-compat32",
]

# Registers by name, and why they may be others or missing.
ALLOWED = [
    (r"z\d+|p\d+|ffr|vg|svcr|svg|za|zt0|fpmr|tpidr2|mte_ctrl", "images don't hold them (ELF-CORE-AARCH64.md, section 4)"),
    (r"data_mask|code_mask", "made from the highest address (section 5)"),
    (r"gcs_features_locked|gcs_features_enabled|gcspr_el0", "of a process without a shadow stack images don't hold it; features_locked never"),
    (r"[xw]8", "gdb had interrupted a sleep, which CRIU found in restart_syscall (README.md of the cases)"),
    (r"fpsr|fpcr", "lldb looks for them in gdb's note of vectors where the kernel puts them, gdb elsewhere (section 2)"),
]


def told(core, program, root):
    frames, registers, thread = {}, {}, None
    for line in ran([sys.executable, os.path.join(HERE, "lldb_frames.py"), core, program, root], seconds=120).splitlines():
        if match := re.match(r"TID (\d+):", line):
            thread = int(match[1])
            frames[thread], registers[thread] = [], {}
        elif line.startswith("#"):
            frames[thread].append(line)
        elif match := re.match(r"= (\S+) (.*)", line):
            registers[thread][match[1]] = match[2]
    return frames, registers


def is_allowed(name, used):
    reason = next((reason for reason in ALLOWED if re.fullmatch(reason[0], name)), None)
    used.add(reason)
    return reason is not None


def main(coldcase, cases, *only):
    work = tempfile.mkdtemp(prefix="coldcase-other.")
    differences, used = 0, set()
    try:
        for case in only or CASES:
            folder, name = case.split("/")
            place = os.path.join(work, name)
            root = os.path.join(place, "root")
            os.makedirs(root)
            for archive, where in (("sysroot", root), (name, place)):
                ran(["tar", "--zstd", "-xf", os.path.join(cases, folder, f"{archive}.tar.zst"), "-C", where])
            place = os.path.join(place, name)
            extra = os.path.join(place, "sysroot-extra")
            if os.path.isdir(extra):
                # Libraries of the other class have the same names.
                shutil.rmtree(os.path.join(root, "usr/lib/x86_64-linux-gnu"))
                shutil.copytree(extra, root, symlinks=True, dirs_exist_ok=True)
            cores = os.path.join(place, "cores")
            command = [coldcase, "coredump", "-q", "--fill", "all", "--rootfs", root, "--undo-restart", "-o", cores]
            done = subprocess.run([*command, os.path.join(place, "images")], capture_output=True, text=True)
            if done.returncode not in (0, 3):
                raise RuntimeError(f"{name}: status {done.returncode}: {done.stderr}")
            (core,) = (file for file in os.listdir(cores) if re.fullmatch(r"core\.\d+", file))
            binaries = os.path.join(place, "bin")
            program = os.path.join(binaries, os.listdir(binaries)[0]) if os.path.isdir(binaries) else os.path.join(root, "opt/cc/bin", name)
            theirs, their_registers = told(os.path.join(place, "core.gcore"), program, root)
            ours, our_registers = told(os.path.join(cores, core), program, root)
            differ = [thread for thread in theirs.keys() | ours.keys() if theirs.get(thread) != ours.get(thread)]
            count = 0
            for thread, registers in their_registers.items():
                mine = our_registers.get(thread, {})
                # lldb names all registers of the x87 and SSE even where a core has them not.
                known = {name: value for name, value in registers.items() if value}
                others = [name for name, value in known.items() if mine.get(name) != value and not is_allowed(name, used)]
                count += len(known)
                if others:
                    differ.append(thread)
                    print(f"  {name}, thread {thread}:", ", ".join(f"{name} {mine.get(name)}, not {known[name]}" for name in others[:8]))
            differences += len(set(differ))
            print(f"{name}: {len(theirs)} threads, {sum(map(len, theirs.values()))} frames, {count} registers, {len(set(differ))} threads differ", flush=True)
            shutil.rmtree(os.path.dirname(place))
    finally:
        shutil.rmtree(work)
    if not only:
        for reason in (reason for reason in ALLOWED if reason not in used):
            print(f"allowed and equal: {reason}")
            differences += 1
    print(f"{differences} differences")
    return min(differences, 255)


sys.exit(main(*sys.argv[1:]))
