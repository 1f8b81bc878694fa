// Threads of many kinds: in system calls that wait, with and without time, and at work in their own code.
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t never = PTHREAD_COND_INITIALIZER;
static sem_t nothing;
static int pipes[2];
static volatile double sums[2];

__attribute__((noinline)) static void *deeper(int levels, void *(*last)(void *)) {
    volatile char room[64] = {0};
    void *answer = levels ? deeper(levels - 1, last) : last(NULL);
    return room[0] ? NULL : answer;
}
static void *locks(void *_) { pthread_mutex_lock(&held); return _; }
static void *waits(void *_) {
    pthread_mutex_t own = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&own);
    pthread_cond_wait(&never, &own);
    return _;
}
static void *posts(void *_) { sem_wait(&nothing); return _; }
static void *sleeps(void *_) { struct timespec day = {86400, 0}; nanosleep(&day, NULL); return _; }
static void *polls(void *_) { struct pollfd one = {pipes[0], POLLIN, 0}; poll(&one, 1, -1); return _; }
static void *polls_a_while(void *_) { struct pollfd one = {pipes[0], POLLIN, 0}; poll(&one, 1, 86400000); return _; }
static void *reads(void *_) { char byte; return read(pipes[0], &byte, 1) == 1 ? _ : NULL; }
static void *adds(void *_) { for (;;) sums[0] += 0.5; return _; }
static void *multiplies(void *_) { for (sums[1] = 1;;) sums[1] *= 1.0000001; return _; }

static void *(*const kinds[])(void *) = {locks, waits, posts, sleeps, polls, polls_a_while, reads, adds, multiplies};
static void *start(void *number) { return deeper((int)(long)number, kinds[(long)number]); }

int main(int argc, char **argv) {
    pthread_t thread;
    sem_init(&nothing, 0, 0);
    pthread_mutex_lock(&held);
    if (pipe(pipes)) return 1;
    for (long number = 0; number < (long)(sizeof kinds / sizeof *kinds); number++)
        pthread_create(&thread, NULL, start, (void *)number);
    fclose(fopen(argv[argc - 1], "w"));
    for (;;) pause();
}
