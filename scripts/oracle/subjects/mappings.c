// mappings READY COUNT BYTES: so many mappings, every second one can't be written, so many bytes in them, half text and half noise.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int main(int argc, char **argv) {
    size_t count = strtoul(argv[2], NULL, 0), bytes = strtoul(argv[3], NULL, 0), each = bytes / count & ~(size_t)4095;
    char *all = mmap(NULL, count * each, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    unsigned long noise = 88172645463325252UL;
    if (argc != 4 || all == MAP_FAILED) return 1;
    for (size_t at = 0; at < count * each; at += 8) {
        noise ^= noise << 13, noise ^= noise >> 7, noise ^= noise << 17;
        memcpy(all + at, at & 4096 ? (char *)&noise : "coldcase", 8);
    }
    for (size_t mapping = 1; mapping < count; mapping += 2)
        if (mprotect(all + mapping * each, each, PROT_READ)) return 2;
    fclose(fopen(argv[1], "w"));
    for (;;) pause();
}
