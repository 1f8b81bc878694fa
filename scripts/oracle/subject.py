"""A process with something of many kinds to dump. It counts, so that one can see whether it lives."""

import array
import mmap
import os
import socket
import sys
import threading
import time

directory = sys.argv[1]

reader, writer = os.pipe()
os.write(writer, b"left in the pipe\n")
left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
left.send(b"left in the socket")
# Descriptors in flight.
stream, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
stream.sendmsg([b"with a file"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [reader]))])
listener = socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen()
abstract = socket.socket(socket.AF_UNIX)
abstract.bind(b"\0coldcase=oracle\xff")
abstract.listen()

ghost = open(os.path.join(directory, "ghost"), "w+b")
ghost.write(b"deleted but open\n" * 100)
ghost.flush()
os.unlink(ghost.name)

memory = os.memfd_create("oracle")
os.truncate(memory, 20000)
os.pwrite(memory, b"in a memfd", 5000)
shared = mmap.mmap(-1, 8192)
shared[4096:4102] = b"shared"
event = os.eventfd(7)
threading.Thread(target=threading.Event().wait, daemon=True).start()

if os.fork() == 0:
    while True:
        time.sleep(1)

with open(os.path.join(directory, "pid.new"), "w") as file:
    file.write(str(os.getpid()))
count = open(os.path.join(directory, "count"), "ab", buffering=0)
count.write(b".")
os.rename(os.path.join(directory, "pid.new"), os.path.join(directory, "pid"))
while True:
    count.write(b".")
    time.sleep(0.05)
