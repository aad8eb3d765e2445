# SPDX-License-Identifier: PostgreSQL
"""The files of a project that are looked at, within limits, never outside of its directory.

Links to directories are not followed; a link to a file is when it ends inside. What is left out is
said, except what is no part of a project (.git, virtual environments, node_modules).
"""
import os
import re
import stat

MAX_ENTRIES = 200000
MAX_FILES = 5000
MAX_DEPTH = 24
MAX_BYTES = 1 << 20
MAX_TOTAL_BYTES = 64 << 20

FOREIGN = {'.git', '.hg', '.svn', '.tox', '.nox', '.eggs', 'node_modules', '__pycache__',
           'site-packages', 'dist-packages', '.mypy_cache', '.pytest_cache', '.ruff_cache',
           '.idea', '.vscode'}
SAMPLE = re.compile(r'example|sample|template|dist$|\.tpl$', re.I)
COMPOSE = re.compile(r'(docker-)?compose[\w.-]*\.ya?ml\Z', re.I)
DOCKERFILE = re.compile(r'(Dockerfile|Containerfile)([.-][\w.-]+)?\Z|[\w.-]+\.[Dd]ockerfile\Z')
ENVIRONMENT = re.compile(r'\.env([.-][\w.-]+)?\Z|[\w-]+\.env\Z|\.flaskenv\Z')


def kind_of(name):
    """What a file is by its name, or None."""
    lower = name.lower()
    if lower.endswith('.py'):
        return 'python'
    if COMPOSE.match(name):
        return 'compose'
    if DOCKERFILE.match(name) and not lower.endswith('.dockerignore'):
        return 'dockerfile'
    if lower == 'procfile' or lower.startswith('procfile.'):
        return 'procfile'
    if ENVIRONMENT.match(name):
        return None if SAMPLE.search(name) else 'env'
    if lower.endswith('.ini') and 'uwsgi' in lower:
        return 'uwsgi'
    if lower.endswith('.service'):
        return 'unit'
    if lower.endswith('.sh'):
        return 'shell'
    return None


class Walk:
    """Finds the files: self.files is [(kind, relative path)], self.skipped is [(path, why)]."""

    def __init__(self, root):
        self.given = root
        self.root = os.path.realpath(root)
        self.files = []
        self.skipped = []
        self.entries = 0
        self.total = 0
        self.seen = set()
        self.truncated = None

    def run(self):
        mode = os.stat(self.root).st_mode
        if stat.S_ISREG(mode):
            name = os.path.basename(self.root)
            self.root = os.path.dirname(self.root)
            self.files.append((kind_of(name) or kind_of(os.path.basename(self.given)) or 'python',
                               name))
            return
        # A file given by name is read whatever it is called; a directory must be readable.
        pending = [('', 0)]
        while pending and not self.truncated:
            folder, depth = pending.pop()
            pending.extend(reversed(self.folder(folder, depth)))

    def folder(self, folder, depth):
        """Takes the files of one directory; returns its directories."""
        path = os.path.join(self.root, folder)
        inner = []
        try:
            names = sorted(os.listdir(path))
        except OSError as error:
            if not folder:
                raise
            self.skipped.append((folder, error.strerror))
            return []
        if 'pyvenv.cfg' in names and folder:
            return []
        for name in names:
            self.entries += 1
            if self.entries > MAX_ENTRIES:
                self.truncated = 'more than %d names' % MAX_ENTRIES
                break
            if self.truncated:
                break
            inner += self.entry(os.path.join(folder, name), name, depth)
        return inner

    def entry(self, relative, name, depth):
        path = os.path.join(self.root, relative)
        try:
            mode = os.lstat(path).st_mode
        except OSError:
            return []
        if stat.S_ISDIR(mode):
            if name in FOREIGN:
                return []
            if depth >= MAX_DEPTH:
                self.skipped.append((relative, 'more than %d directories deep' % MAX_DEPTH))
                return []
            return [(relative, depth + 1)]
        kind = kind_of(name)
        if kind and (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
            self.file(kind, relative, path)
        return []

    def file(self, kind, relative, path):
        try:
            info = os.stat(path)
        except OSError:
            return
        real = os.path.realpath(path)
        if not stat.S_ISREG(info.st_mode) or (info.st_dev, info.st_ino, kind) in self.seen:
            return
        if os.path.commonpath([self.root, real]) != self.root:
            self.skipped.append((relative, 'a link that leaves the project'))
            return
        self.seen.add((info.st_dev, info.st_ino, kind))
        if info.st_size > MAX_BYTES:
            self.skipped.append((relative, '%d bytes, more than %d' % (info.st_size, MAX_BYTES)))
            return
        if len(self.files) >= MAX_FILES or self.total + info.st_size > MAX_TOTAL_BYTES:
            self.truncated = ('more than %d files or %d MiB'
                              % (MAX_FILES, MAX_TOTAL_BYTES >> 20))
            return
        self.total += info.st_size
        self.files.append((kind, relative))

    def read(self, relative):
        """The bytes of a file, MAX_BYTES at most. Raises OSError."""
        path = os.path.realpath(os.path.join(self.root, relative))
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise OSError(0, 'not a file')
            parts, left = [], MAX_BYTES + 1
            while left > 0:
                part = os.read(fd, min(left, 1 << 16))
                if not part:
                    break
                parts.append(part)
                left -= len(part)
            if left <= 0:
                raise OSError(0, 'more than %d bytes' % MAX_BYTES)
            return b''.join(parts)
        finally:
            os.close(fd)
