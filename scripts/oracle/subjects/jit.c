// Code that was made at run time, in a mapping that may be written and run; it calls back.
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static char *ready;
__attribute__((noinline)) void called_back(void) {
    fclose(fopen(ready, "w"));
    for (;;) pause();
}

int main(int argc, char **argv) {
    ready = argv[argc - 1];
    // push rbp; mov rbp, rsp; movabs rax, ADDRESS; call rax; pop rbp; ret
    uint8_t code[] = {0x55, 0x48, 0x89, 0xe5, 0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xd0, 0x5d, 0xc3};
    void (*to)(void) = called_back;
    memcpy(code + 6, &to, sizeof to);
    uint8_t *made = mmap(NULL, 1 << 16, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memcpy(made + 0x100, code, sizeof code);
    ((void (*)(void))(made + 0x100))();
}
