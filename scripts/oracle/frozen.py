"""Processes to make cores of: started, stopped where they are, dumped, and thrown away."""

import contextlib
import os
import shutil
import signal
import struct
import subprocess
import time

HERE = os.path.dirname(os.path.abspath(__file__))


def ran(command, seconds=600, **more):
    """Runs a command to its end; returns both its streams. Its failure is ours."""
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        timeout=seconds, **more,
    )
    said = done.stdout.decode(errors="replace")
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: status {done.returncode}: {said[-2000:]}")
    return said


def compiled(name, work):
    """A subject in C."""
    program = os.path.join(work, name)
    source = os.path.join(HERE, "subjects", f"{name}.c")
    ran(["gcc", "-g", "-O1", "-fno-omit-frame-pointer", "-pthread", "-o", program, source])
    return program


@contextlib.contextmanager
def stopped(command, ready, seconds=120):
    """A process that was stopped once it was ready, all of its threads with it: what looks at it sees one moment."""
    # Without any descriptor of ours: CRIU would have to dump what is at the other end.
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True)
    try:
        until = time.time() + seconds
        while not ready():
            if process.poll() is not None or time.time() > until:
                raise RuntimeError(f"{command[0]} was never ready: status {process.poll()}")
            time.sleep(0.05)
        time.sleep(1)  # until each thread is where it stays
        os.kill(process.pid, signal.SIGSTOP)
        while not all(state(process.pid, thread) == "T" for thread in threads(process.pid)):
            time.sleep(0.01)
        yield process.pid
    finally:
        process.kill()
        process.wait()


def threads(pid):
    return sorted(map(int, os.listdir(f"/proc/{pid}/task")))


def state(pid, thread):
    with open(f"/proc/{pid}/task/{thread}/stat", "rb") as file:
        return file.read().rsplit(b")", 1)[1].split()[0].decode()


def dumped(pid, images):
    """Dumps a process, which stays as it was."""
    shutil.rmtree(images, ignore_errors=True)
    os.makedirs(images)
    command = ["criu", "dump", "--tree", str(pid), "--images-dir", images, "--leave-running", "--shell-job"]
    ran(command + ["--manage-cgroups=ignore", "--ghost-limit", "4M", "-v2", "-o", "dump.log"])
    return images


def varint(number):
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def with_more_mappings(images, pid, count, to):
    """The same images with so many mappings more of one page each, at 64 GiB, every second one with a page of its own."""
    shutil.copytree(images, to)
    start, page = 16 << 32, 4096
    addresses = [start + number * 2 * page for number in range(count)]

    def message(*fields):
        return b"".join(bytes([number << 3]) + varint(value) for number, value in fields)

    # vma_entry: start, end, pgoff, shmid, PROT_READ | PROT_WRITE, private and anonymous, regular and so, fd.
    vmas = bytearray()
    for at in addresses:
        entry = message((1, at), (2, at + page), (3, 0), (4, 0), (5, 3), (6, 0x22), (7, 0x201), (8, 1))
        vmas += b"\x72" + varint(len(entry)) + entry
    path = os.path.join(to, f"mm-{pid}.img")
    with open(path, "rb") as file:
        head, body = file.read(8), file.read()
    (length,) = struct.unpack_from("<I", body)
    with open(path, "wb") as file:
        file.write(head + struct.pack("<I", length + len(vmas)) + body[4:4 + length] + vmas)

    # Their pages are lower than all others: they come first in the pagemap and in the page image.
    path = os.path.join(to, f"pagemap-{pid}.img")
    with open(path, "rb") as file:
        head, body = file.read(8), file.read()
    (length,) = struct.unpack_from("<I", body)
    number = body[5]  # pagemap_head: which page image
    entries = bytearray()
    for at in addresses[::2]:
        entry = message((1, at), (2, 0), (4, 4), (5, 1))
        entries += struct.pack("<I", len(entry)) + entry
    with open(path, "wb") as file:
        file.write(head + body[:4 + length] + entries + body[4 + length:])
    path = os.path.join(to, f"pages-{number}.img")
    with open(path, "rb") as file:
        pages = file.read()
    with open(path, "wb") as file:
        for at in addresses[::2]:
            file.write(struct.pack("<Q", at) * (page // 8))
        file.write(pages)
    return addresses
