"""A wall clock that is wrong for some processes only: a library put before the C library's. Needs a C compiler.

Only the time of day is shifted; the monotonic clock, sleeps and time-outs stay right, as where a host is set wrong.
By how much is a fixed number of seconds, or stands in a file that all these processes look into: it may be changed.
"""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

SOURCE = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long shift(void) {
    static long seconds, known;
    static volatile long *shared;
    if (!known) {
        const char *text = getenv("CHAOS_CLOCK_SHIFT"), *path = getenv("CHAOS_CLOCK_FILE");
        int file = path ? open(path, O_RDONLY) : -1;
        if (file >= 0) {
            void *found = mmap(0, sizeof(long), PROT_READ, MAP_SHARED, file, 0);
            if (found != MAP_FAILED) shared = found;
            close(file);
        }
        seconds = text ? atol(text) : 0;
        known = 1;
    }
    return shared ? *shared : seconds;
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
    return ("env", f"LD_PRELOAD={_build(folder)}", f"CHAOS_CLOCK_SHIFT={seconds}")


class SettableClock:
    """A clock that may be set while processes go by it: those that are started with its ``environment``."""

    def __init__(self, folder: Path) -> None:
        """Right at first. Whoever is to go by it must be able to read ``folder``. Raises MissingCompilerError."""
        self._file = folder / "clock.shift"
        self._file.write_bytes(struct.pack("l", 0))
        self._file.chmod(0o644)
        library = _build(folder)
        library.chmod(0o755)
        self.environment: Mapping[str, str] = {"LD_PRELOAD": str(library), "CHAOS_CLOCK_FILE": str(self._file)}

    def set_ahead(self, seconds: int) -> None:
        """From now on it is so far ahead; behind, where it is negative."""
        with self._file.open("r+b") as file:  # the same file: it is mapped
            os.pwrite(file.fileno(), struct.pack("l", seconds), 0)


def _build(folder: Path) -> Path:
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise MissingCompilerError("no C compiler (cc) to build a wrong clock with")
    source, library = folder / "clock.c", folder / "clock.so"
    source.write_text(SOURCE)
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=180)
    if done.returncode:
        raise MissingCompilerError(f"the wrong clock can't be built: {done.stderr.decode(errors='replace')[:200]}")
    return library
