//! What the container was doing: processes, threads, files, sockets, mounts.
