"""Measures `coldcase coredump` beside gcore on the living process, and beside copying the pages.

usage: bench_cores.py COLDCASE [ROUNDS]

Processes of 2,000 mappings with 500 and 1,000 MB. Each round runs every command once; medians and the ratios within the rounds are
printed. Copying is what a core cannot do without: reading the pages, fallocate, and writing them. Memory is the most anonymous memory
(what a command takes for itself; files that it maps are the kernel's), and the most resident memory.
"""

import os
import shutil
import statistics
import sys
import tempfile
import threading
import time

import frozen

MAPPINGS = 2000
PIECE = 256 << 10


def run(command):
    """A command, or a function in a process of its own: wall and CPU time in seconds, anonymous and resident memory in KiB."""
    quiet = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in (0, 1, 2)]
    start = time.perf_counter()
    if callable(command):
        pid = os.fork()
        if pid == 0:
            command()
            os._exit(0)
    else:
        pid = os.posix_spawnp(command[0], command, os.environ, file_actions=quiet)
    anonymous, over = [0], threading.Event()

    def watch():
        while not over.wait(0.004):
            try:
                with open(f"/proc/{pid}/status") as file:
                    anonymous.append(max(int(line.split()[1]) for line in file if line.startswith("RssAnon")))
            except (OSError, ValueError):
                pass

    watcher = threading.Thread(target=watch)
    watcher.start()
    _, status, usage = os.wait4(pid, 0)
    wall = time.perf_counter() - start
    over.set()
    watcher.join()
    if status:
        raise RuntimeError(f"{command}: status {status}")
    return wall, usage.ru_utime + usage.ru_stime, max(anonymous), usage.ru_maxrss


def copy(out, *files):
    """The yardstick."""
    buffer = bytearray(PIECE)
    with open(out, "wb", buffering=0) as target:
        os.posix_fallocate(target.fileno(), 0, sum(map(os.path.getsize, files)))
        for path in files:
            with open(path, "rb", buffering=0) as source:
                while got := source.readinto(buffer):
                    target.write(memoryview(buffer)[:got])


def measure(name, commands, rounds, work):
    """Runs commands in turn; prints medians and the ratios of CPU and wall time to the first one."""
    took = {about: [] for about in commands}
    for _ in range(rounds):
        for about, command in commands.items():
            shutil.rmtree(os.path.join(work, "out"), ignore_errors=True)
            os.mkdir(os.path.join(work, "out"))
            took[about].append(run(command))
    first = next(iter(took.values()))
    for about, runs in took.items():
        wall, cpu, anonymous, resident = (statistics.median(column) for column in zip(*runs))
        ratio = [statistics.median(a[column] / b[column] for a, b in zip(runs, first)) for column in (0, 1)]
        print(
            f"{name} | {about} | wall {wall:.3f} s | CPU {cpu:.3f} s | anonymous {anonymous / 1024:.1f} MiB | "
            f"resident {resident / 1024:.0f} MiB | ratios: wall {ratio[0]:.2f}, CPU {ratio[1]:.2f}",
            flush=True,
        )
    return {about: statistics.median(cpu for _, cpu, _, _ in runs) for about, runs in took.items()}


def main(coldcase, rounds="5"):
    work = tempfile.mkdtemp(prefix="coldcase-cores.", dir="/var/tmp")
    program = frozen.compiled("mappings", work)
    out, took = os.path.join(work, "out"), {}
    try:
        for megabytes in (500, 1000):
            flag, images = os.path.join(work, f"ready.{megabytes}"), os.path.join(work, f"images.{megabytes}")
            command = [program, flag, str(MAPPINGS), str(megabytes * 1_000_000)]
            with frozen.stopped(command, lambda: os.path.exists(flag)) as pid:
                frozen.dumped(pid, images)
                pages = [os.path.join(images, name) for name in os.listdir(images) if name.startswith("pages-")]
                took[megabytes] = measure(
                    f"{megabytes} MB",
                    {
                        "coredump": [coldcase, "coredump", "-q", "-o", out, images],
                        "copy": lambda: copy(os.path.join(out, "copy"), *pages),
                        "gcore": ["gdb", "-nx", "-batch", "-p", str(pid), "-ex", f"gcore {out}/core", "-ex", "detach"],
                    },
                    int(rounds),
                    work,
                )
        print(f"1000 MB to 500 MB, CPU: {took[1000]['coredump'] / took[500]['coredump']:.2f}")
        shutil.rmtree(images)
        more = os.path.join(work, "more")
        with frozen.stopped([program, flag + "s", "2", "8192"], lambda: os.path.exists(flag + "s")) as last:
            frozen.dumped(last, images)
        frozen.with_more_mappings(images, last, 70_000, more)
        measure("70,000 mappings more", {"coredump": [coldcase, "coredump", "-q", "-o", out, more]}, int(rounds), work)
    finally:
        shutil.rmtree(work)


main(*sys.argv[1:])
