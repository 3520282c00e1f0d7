/* Shifts the time of day that a process reads. The file that the variable TESTKIT_CLOCK names holds
   the shift in microseconds, as 8 bytes. A change of the file has effect at once. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *shift_us;

__attribute__((constructor)) static void map_shift(void) {
    const char *path = getenv("TESTKIT_CLOCK");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *map = mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, file, 0);
    if (map == MAP_FAILED) {
        perror("the file that TESTKIT_CLOCK names cannot be read");
        abort();
    }
    close(file);
    shift_us = map;
}

static int64_t now_ns(clockid_t clock, int64_t shift) {
    struct timespec now;
    syscall(SYS_clock_gettime, clock, &now);
    return now.tv_sec * 1000000000 + now.tv_nsec + shift * 1000;
}

static int64_t shift_of(clockid_t clock) {
    int is_shifted = clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE;
    return is_shifted && shift_us ? *shift_us : 0;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    if (shift_of(clock) == 0)
        return syscall(SYS_clock_gettime, clock, now);
    int64_t ns = now_ns(clock, shift_of(clock));
    now->tv_sec = ns / 1000000000;
    now->tv_nsec = ns % 1000000000;
    return 0;
}

int gettimeofday(struct timeval *now, void *zone) {
    (void)zone;
    int64_t us = now_ns(CLOCK_REALTIME, shift_of(CLOCK_REALTIME)) / 1000;
    now->tv_sec = us / 1000000;
    now->tv_usec = us % 1000000;
    return 0;
}

time_t time(time_t *result) {
    time_t now = now_ns(CLOCK_REALTIME, shift_of(CLOCK_REALTIME)) / 1000000000;
    if (result)
        *result = now;
    return now;
}
