"""A wall clock that is wrong for some processes only: a library put before the C library's. Needs a C compiler.

Only the time of day is shifted; the monotonic clock, sleeps and time-outs stay right, as where a host is set wrong.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

SOURCE = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

static long shift(void) {
    static long seconds, known;
    if (!known) {
        const char *text = getenv("CHAOS_CLOCK_SHIFT");
        seconds = text ? atol(text) : 0;
        known = 1;
    }
    return seconds;
}

int clock_gettime(clockid_t clock, struct timespec *found) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int failed = real(clock, found);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) found->tv_sec += shift();
    return failed;
}

int gettimeofday(struct timeval *restrict found, void *restrict zone) {
    static int (*real)(struct timeval *, void *);
    if (!real) real = dlsym(RTLD_NEXT, "gettimeofday");
    int failed = real(found, zone);
    if (!failed && found) found->tv_sec += shift();
    return failed;
}

time_t time(time_t *found) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (found) *found = now.tv_sec;
    return now.tv_sec;
}
"""


class MissingCompilerError(Exception):
    """There is no C compiler. The sentence says so."""


def wrong_clock(seconds: int, folder: Path) -> Sequence[str]:
    """What to put before a command line for its clock to be so far ahead. Raises MissingCompilerError."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise MissingCompilerError("no C compiler (cc) to build a wrong clock with")
    source, library = folder / "clock.c", folder / "clock.so"
    source.write_text(SOURCE)
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=60)
    if done.returncode:
        raise MissingCompilerError(f"the wrong clock can't be built: {done.stderr.decode(errors='replace')[:200]}")
    return ("env", f"LD_PRELOAD={library}", f"CHAOS_CLOCK_SHIFT={seconds}")
