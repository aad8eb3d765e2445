# SPDX-License-Identifier: PostgreSQL
"""A parent in a transaction forks; the child does one thing to the inherited connection.

usage: fork_once.py DRIVER ACTION    prints one JSON object
"""
import gc
import json
import os
import subprocess
import sys

import verdict
from drivers import DRIVERS


class Scene:
    """The parent's connection, and what the child may do with it."""

    def __init__(self, driver, config):
        self.driver, self.config = driver, config
        self.db = driver(config)
        self.report = {}

    def exit(self):
        """Leave the connection to the finalizers of an ordinary end of the program."""
        return {}

    def query(self):
        return {'backend': self.db.one(verdict.BACKEND)}

    def query_and_close(self):
        try:
            return self.query()
        finally:
            self.db.close()

    def close(self):
        self.db.close()
        return {}

    def collect(self):
        self.db = None
        gc.collect()
        return {}

    def reset(self):
        self.db.reset()
        return {'backend': self.db.one(verdict.BACKEND)}

    def close_fd(self):
        """What Celery's fix-up for Django does, with a file that is opened in between."""
        os.close(self.db.fileno())
        file = os.open(self.config['file'], os.O_RDWR | os.O_CREAT, 0o600)
        before = os.fstat(file)
        os.write(file, b'one')
        try:
            self.db.close()
        except Exception as error:
            self.report['close_error'] = verdict.first_line(error)
        try:
            os.write(file, b' two')
            same = os.path.samestat(os.fstat(file), before)
        except OSError as error:
            return {'file': verdict.first_line(error)}
        content = os.pread(file, 1000, 0).decode('ascii', 'replace')
        return {'file': content if same else 'another file'}

    def child(self, action):
        """Act, then open a connection of one's own, as a worker would; report on both."""
        try:
            self.report.update(getattr(self, action)())
        except Exception as error:
            self.report['error'] = verdict.first_line(error)
        own = self.driver(self.config)
        self.report['own'] = own.one(verdict.BACKEND)
        own.close()
        return self.report

    def spawn(self):
        """Start programs in ways that do not copy this process's memory before they exec."""
        subprocess.run(['true'], check=True, close_fds=True)
        subprocess.run(['true'], check=True, preexec_fn=os.getpid)
        os.waitpid(os.posix_spawn('/bin/true', ['true'], {}), 0)
        os.system('exit 0')
        with os.popen('exit 0') as pipe:
            pipe.read()

    def parent(self, action):
        before = self.db.one(verdict.BACKEND)
        self.db.one(verdict.SET_MARK)
        if self.config['spawn']:
            self.spawn()
        process = verdict.Fork()
        if process.pid == 0:
            process.finish(self.child(action), sys.exit if action == 'exit' else os._exit)
        result = {'before': before, 'child': process.report(), 'libpq': verdict.libpq_files()}
        try:
            result['after'] = self.db.one(verdict.BACKEND)
            result['mark'] = self.db.one(verdict.GET_MARK) == verdict.MARK
            self.db.commit()
        except Exception as error:
            result['error'] = verdict.first_line(error)
        return result


def main():
    driver, action = sys.argv[1:]
    scene = Scene(DRIVERS[driver], verdict.CONFIG)
    print(json.dumps(scene.parent(action)))


if __name__ == '__main__':
    main()
