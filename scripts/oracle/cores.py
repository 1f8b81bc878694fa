"""Cores against the living processes that they are of.

usage: cores.py COLDCASE RUST_PROGRAM [CASE...]

Each process is stopped; gdb attaches, tells the backtraces of all threads and writes its own core; CRIU dumps it; coldcase makes a core of
the images. gdb has to tell the same of that core, lldb and eu-stack what they tell of gdb's. The exit status is the number of differences.
"""

import difflib
import itertools
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile

import frozen
from frozen import HERE, ran

ASK = ["set width 0", "set height 0", "set debuginfod enabled off", "set print thread-events off"]


def gdb(*arguments):
    options = [word for setting in ASK for word in ("-iex", setting)]
    return ran(["gdb", "-nx", "-q", "-batch", *options, *arguments])


def by_thread(said, header, frame):
    """Frames by thread id. What is said beside them is no part of it."""
    found, current = {}, None
    for line in said.splitlines():
        if match := re.search(header, line):
            current = found.setdefault(int(match[1]), [])
        elif current is not None and re.match(frame, line.strip()):
            current.append(line.strip())
    return found


def of_gdb(said):
    # "Backtrace stopped" is an answer too.
    return by_thread(said, r"^Thread \d+ \(.*?(?:LWP|process) (\d+)", r"#\d|Backtrace")


def by_tid(said):
    return by_thread(said, r"^TID (\d+):", r"#\d")


def lldb(core, program):
    return by_tid(ran([sys.executable, os.path.join(HERE, "lldb_frames.py"), core, program], seconds=120))


def eu_stack(core, program):
    # It ends with 1 where a thread's frames don't lead to an end; what it told stands.
    return by_tid(ran(["sh", "-c", 'eu-stack --core="$1" -e "$2" 2>/dev/null || :', "sh", core, program]))


# What the register of a call's result holds while the call is interrupted (ERESTARTSYS and its kin): signed, unsigned, as an address.
INTERRUPTED = re.compile("|".join(rf"=(?:-{code}|{2**64 - code}|{2**64 - code:#x})\b" for code in (512, 513, 514, 516)))


def but_for_the_call(live, ours):
    """Frame 0 by its function alone: CRIU sets a thread in a system call back before it, where arguments may still be in other places.

    So are other frames in which that register shows: of a Go program, all that are inlined into the call's.
    """

    def of_thread(lines, living):
        found = []
        for number, line in enumerate(lines):
            if number == 0:
                line = re.sub(r"^#0 +(?:0x[0-9a-f]+ in )?([^ ]+).*", r"#0 \1", line)
            elif number < len(living) and INTERRUPTED.search(living[number]):
                line = re.sub(r"^(#\d+ +(?:0x[0-9a-f]+ in )?[^ ]+).*", r"\1", line)
            found.append(line)
        return found

    return [{thread: of_thread(lines, live.get(thread, [])) for thread, lines in frames.items()} for frames in (live, ours)]


class Differences:
    def __init__(self):
        self.count = 0

    def compare(self, about, theirs, ours):
        """Counts the threads that are told otherwise; says how many are told at all."""
        differ = 0
        for thread in sorted(theirs.keys() | ours.keys()):
            left, right = theirs.get(thread, []), ours.get(thread, [])
            if left != right:
                differ += 1
                for line in difflib.unified_diff(left, right, f"{about}: thread {thread}, theirs", "ours", lineterm="", n=0):
                    print("   ", line)
        frames = sum(map(len, theirs.values()))
        print(f"  {about}: {len(theirs)} threads, {frames} frames, {differ} threads differ", flush=True)
        self.count += differ

    def unless(self, holds, about):
        print(f"  {about}: {'as it should be' if holds else 'NOT SO'}")
        self.count += not holds


# Processes in which the program counter of a thread has to be in code that was made at run time: no file is mapped there.
MADE_CODE = ("jit", "trace")


def is_in_made_code(pid, said):
    """Whether a frame is in memory that may be run and is of no file."""
    with open(f"/proc/{pid}/maps", encoding="utf-8", errors="replace") as file:
        made = [line.split()[0].split("-") for line in file if "x" in line.split()[1] and len(line.split()) == 5]
    addresses = [int(address, 16) for address in re.findall(r"^#\d+ +(0x[0-9a-f]+) in", said, re.M)]
    return any(int(start, 16) <= address < int(end, 16) for start, end in made for address in addresses)


def one_case(name, command, ready, work, coldcase, differences):
    print(name, flush=True)
    images, cores = os.path.join(work, f"{name}.images"), os.path.join(work, f"{name}.cores")
    with frozen.stopped(command, ready) as pid:
        gcore = os.path.join(work, f"{name}.gcore")
        with open(f"/proc/{pid}/maps", "rb") as file:
            mappings = len(file.readlines())
        program = os.readlink(f"/proc/{pid}/exe")
        said = gdb("-p", str(pid), "-ex", "thread apply all bt", "-ex", f"gcore {gcore}", "-ex", "detach")
        live = of_gdb(said)
        if name in MADE_CODE:
            differences.unless(is_in_made_code(pid, said), "a frame is in code that was made at run time")
        running = frozen.threads(pid)
        frozen.dumped(pid, images)
    print(f"  {mappings} mappings, threads {', '.join(map(str, running))}")
    differences.unless(sorted(live) == running, "gdb tells each living thread")

    def core(*options):
        shutil.rmtree(cores, ignore_errors=True)
        ran([coldcase, "coredump", "-q", "--fill", "all", "--rootfs", "/", *options, "-o", cores, images])
        return os.path.join(cores, f"core.{pid}")

    def told(ours):
        return of_gdb(gdb("-x", f"{ours}.gdb", "-ex", "thread apply all bt"))

    plain = told(core())
    differences.compare("gdb, but for the interrupted call", *but_for_the_call(live, plain))
    ours = core("--undo-restart")
    differences.compare("gdb, --undo-restart", live, told(ours))
    for debugger, ask in (("lldb", lldb), ("eu-stack", eu_stack)):
        if not shutil.which(debugger):
            print(f"  {debugger}: skipped, it is not here")
            continue
        theirs = ask(gcore, program)
        mine = ask(ours, program)
        # Where it tells nothing of gdb's core, ours may say what it likes.
        answered = {thread: lines for thread, lines in theirs.items() if lines}
        differences.compare(debugger, answered, {thread: lines for thread, lines in mine.items() if thread in answered})
    os.unlink(gcore)
    return pid, images


def many_segments(pid, images, work, coldcase, differences, count=70_000):
    """More segments than an ELF header can count; the kernel here lets no process have so many."""
    print(f"{count} mappings more in the images")
    more = os.path.join(work, "more.images")
    addresses = frozen.with_more_mappings(images, pid, count, more)
    cores = os.path.join(work, "more.cores")
    ran([coldcase, "coredump", "-q", "--fill", "all", "--rootfs", "/", "--undo-restart", "-o", cores, more])
    core = os.path.join(cores, f"core.{pid}")
    header = ran(["readelf", "-hW", core])
    differences.unless("65535 (" in header, "readelf: the header says PN_XNUM, and where the count is")
    loads = re.findall(r"^  LOAD +0x\w+ 0x(\w+)", ran(["readelf", "-lW", core]), re.M)
    differences.unless(len(loads) > count, f"readelf: {len(loads)} segments")
    starts = [int(load, 16) for load in loads]
    differences.unless(starts == sorted(starts) and set(addresses) <= set(starts), "readelf: all of them, in order of addresses")
    first, second, last = addresses[0], addresses[1], addresses[-2]
    asked = [word for at in (first, second, last) for word in ("-ex", f"p/x *(unsigned long *){at:#x}")]
    said = gdb("-x", f"{core}.gdb", *asked, "-ex", "thread apply all bt")
    values = [int(value, 16) for value in re.findall(r"^\$\d+ = (0x\w+)", said, re.M)]
    differences.unless(values == [first, 0, last], f"gdb: memory of the first and the last ones {values}")
    return of_gdb(said)


def redis_answers():
    try:
        with socket.create_connection(("127.0.0.1", 16379), 1) as asked:
            asked.sendall(b"PING\r\n")
            return asked.recv(100).startswith(b"+PONG")
    except OSError:
        return False


def main(coldcase, rust, *only):
    work = tempfile.mkdtemp(prefix="coldcase-cores.")
    differences = Differences()
    cases = []

    def case(name, command, ready=None):
        flag = os.path.join(work, f"{name}.ready")
        words = [flag if word == "READY" else word for word in command]
        cases.append((name, words, ready or (lambda: os.path.exists(flag))))

    case("threads", [frozen.compiled("threads", work), "READY"])
    case("jit", [frozen.compiled("jit", work), "READY"])
    case("interpreter", [sys.executable, shutil.copy(os.path.join(HERE, "subjects/interpreter.py"), work), "READY"])
    if os.path.exists(rust):
        case("rust", [shutil.copy(rust, work), "READY"])
    else:
        print("rust: skipped, no rustc made it")
    if shutil.which("go"):
        source, program = os.path.join(HERE, "subjects/go.go"), os.path.join(work, "go")
        ran(["go", "build", "-o", program, source], env={**os.environ, "HOME": work, "GOCACHE": os.path.join(work, "cache"), "GOTOOLCHAIN": "local"})
        case("go", [program, "READY"])
    else:
        print("go: skipped, it is not here")
    if shutil.which("luajit"):
        case("trace", ["luajit", shutil.copy(os.path.join(HERE, "subjects/trace.lua"), work), "READY"])
    else:
        print("trace: skipped, LuaJIT is not here")
    if shutil.which("redis-server"):
        options = ["--port", "16379", "--save", "", "--dir", work, "--io-threads", "4", "--daemonize", "no"]
        case("redis", ["redis-server", *options], redis_answers)
    else:
        print("redis: skipped, it is not here")
    case("mappings", [frozen.compiled("mappings", work), "READY", "60000", str(60000 * 4096)])
    try:
        kept = {}
        for name, command, ready in cases:
            if only and name not in only:
                continue
            try:
                kept[name] = one_case(name, command, ready, work, coldcase, differences)
            except (RuntimeError, subprocess.TimeoutExpired) as error:
                print(f"  {error}")
                differences.count += 1
        if "threads" in kept:
            many_segments(*kept["threads"], work, coldcase, differences)
    finally:
        shutil.rmtree(work)
    print(f"{len(cases)} processes, {differences.count} differences")
    return min(differences.count, 255)


sys.exit(main(*sys.argv[1:]))
