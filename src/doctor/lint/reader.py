# SPDX-License-Identifier: PostgreSQL
"""Reads Python files in a process of its own, since Python's parser can be made to crash, to take
all memory or a very long time. Such a file is left out and said; the next process goes on after it.
"""
import json
import os
import resource
import select
import signal
import time
import traceback

import source

FILE_SECONDS = 10
ALL_SECONDS = 90
MEMORY_BYTES = 2 << 30
MAX_ANSWER = 64 << 20


def package_of(path):
    """The package that relative imports of a file start from."""
    parts = path.split('/')[:-1]
    return '.'.join(parts)


def bug(error):
    """An error of ours, without its text, which may hold a secret of the project."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return 'a bug of tine doctor: %s at %s:%d' % (
        type(error).__name__, os.path.basename(frame.filename), frame.lineno)


def why_not(error):
    if isinstance(error, SyntaxError):
        return 'line %s: %s' % (error.lineno or '?', error.msg)
    if isinstance(error, RecursionError):
        return 'nested too deeply'
    if isinstance(error, MemoryError):
        return 'nested too deeply, or too large for the memory it may have'
    return str(error) or type(error).__name__


def examine(walk, path):
    """One line about one file."""
    try:
        return {'facts': source.read(walk.read(path), package_of(path))}
    except (SyntaxError, ValueError, RecursionError, MemoryError, LookupError) as error:
        return {'skipped': why_not(error)}
    except OSError as error:
        return {'skipped': error.strerror or str(error)}
    except Exception as error:
        return {'skipped': bug(error)}


def child(walk, paths, out):
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for limit, most in ((resource.RLIMIT_AS, MEMORY_BYTES), (resource.RLIMIT_CPU, ALL_SECONDS)):
        hard = resource.getrlimit(limit)[1]
        if hard == resource.RLIM_INFINITY or hard > most:
            resource.setrlimit(limit, (most, most))
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    with os.fdopen(out, 'wb', buffering=0) as pipe:
        for path in paths:
            line = json.dumps(examine(walk, path)).encode() + b'\n'
            while line:
                line = line[pipe.write(line):]


class Process:
    """One reading process."""

    def __init__(self, walk, paths):
        self.fd, out = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            status = 1
            try:
                os.close(self.fd)
                child(walk, paths, out)
                status = 0
            finally:
                os._exit(status)
        os.close(out)
        self.rest = b''

    def line(self):
        """The next line, or why there is none."""
        deadline = time.monotonic() + FILE_SECONDS
        parts, size = [self.rest], len(self.rest)
        while b'\n' not in parts[-1]:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.fd], [], [], left)[0]:
                return None, 'took longer than %d s' % FILE_SECONDS
            part = os.read(self.fd, 1 << 20)
            size += len(part)
            if not part or size > MAX_ANSWER:
                return None, 'made the parser of Python fail'
            parts.append(part)
        line, _, self.rest = b''.join(parts).partition(b'\n')
        return line, None

    def end(self):
        try:
            os.kill(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        os.waitpid(self.pid, 0)
        os.close(self.fd)


def read_all(walk, paths):
    """{path: facts}; what cannot be read goes to walk.skipped."""
    facts = {}
    at = 0
    deadline = time.monotonic() + ALL_SECONDS
    while at < len(paths):
        if time.monotonic() > deadline:
            walk.truncated = 'more than can be read in %d s' % ALL_SECONDS
            break
        process = Process(walk, paths[at:])
        try:
            while at < len(paths) and time.monotonic() <= deadline:
                line, why = process.line()
                answer = {'skipped': why} if line is None else json.loads(line)
                if 'facts' in answer:
                    facts[paths[at]] = answer['facts']
                else:
                    walk.skipped.append((paths[at], answer['skipped']))
                at += 1
                if line is None:
                    break
        finally:
            process.end()
    return facts
