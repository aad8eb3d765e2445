# SPDX-License-Identifier: PostgreSQL
"""Services with all that is known of them: the command line, the configuration file, uWSGI's ini
file, Celery's configuration; how many processes they have, and what these load before the fork."""
import os
import re

import commands
from values import UNKNOWN, integer, truth

CHILD_HOOKS = ('post_fork', 'post_worker_init')
MASTER_HOOKS = ('on_starting', 'when_ready', 'pre_fork', 'on_reload')
ASYNC = ('gevent', 'eventlet', 'uvicorn', 'asgi', 'aiohttp', 'tornado')
FORKING = ('gunicorn', 'celery', 'uwsgi')


class Running:
    """A service, its settings resolved."""

    def __init__(self, project, deployments, service):
        self.project = project
        self.service = service
        self.kind = service.kind
        self.where = service.where
        self.guarded = service.guarded
        self.config = None      # the Python or ini file of its configuration
        self.workers, self.threads = 1, 1
        self.cpus = False
        self.preload = False    # the application is loaded before the fork
        self.asynchronous = False
        self.forks = service.kind in FORKING
        reader = {'hypercorn': 'uvicorn', 'fastapi': 'uvicorn'}.get(service.kind, service.kind)
        getattr(self, '_' + reader)(deployments)

    @property
    def label(self):
        name = self.service.name
        return '%s (%s)' % (name, self.kind) if name else self.kind

    def given(self, name, otherwise):
        """A number of the command line (None when it cannot be known), else of elsewhere."""
        if name in self.service.options:
            return self.service.number(name)
        return otherwise()

    def count(self, value):
        """A number of processes; CPUs of this machine where the setting is by CPUs."""
        return integer(value) if value is not UNKNOWN else None

    # ---- gunicorn ----

    def _gunicorn(self, _deployments):
        service = self.service
        self.config = self.gunicorn_file(service.config)
        self.workers = self.given('workers', lambda: self.setting('workers', 'WEB_CONCURRENCY', 1))
        self.threads = self.given('threads', lambda: self.setting('threads', None, 1))
        kind = service.options.get('worker-class') or self.constant('worker_class') or ''
        self.asynchronous = any(name in str(kind) for name in ASYNC)
        self.preload = service.has('preload') or truth(self.constant('preload_app')) is True

    def gunicorn_file(self, given):
        paths = self.project.facts
        if given:
            name = re.sub(r'\A(file|python):', '', given).lstrip('./')
            if given.startswith('python:'):
                return self.project.module(name)
            same = [path for path in paths if path == name or path.endswith('/' + name)]
            same += [path for path in paths
                     if os.path.basename(path) == os.path.basename(name)]
            return same[0] if same else None
        same = sorted((path for path in paths if os.path.basename(path) == 'gunicorn.conf.py'),
                      key=lambda path: path.count('/'))
        return same[0] if same else None

    def constant(self, name):
        """A setting of the configuration file; None when it is not there."""
        if not self.config or name not in self.project.facts[self.config]['consts']:
            return None
        values = self.project.values
        values.uses_cpus = False
        value = values.value((self.config, ''), self.project.facts[self.config]['consts'][name])
        self.cpus = self.cpus or values.uses_cpus
        return value

    def setting(self, name, variable, default):
        value = self.constant(name)
        if value is None:
            value = self.service.environment.get(variable) if variable else None
        return default if value is None else self.count(value)

    # ---- celery ----

    def _celery(self, _deployments):
        service = self.service
        if service.options.get('command', 'worker') != 'worker':
            self.forks = False
            return
        pool = service.options.get('pool') or self.configured('pool') or 'prefork'
        self.forks = pool in ('prefork', 'processes', UNKNOWN)
        workers = self.given('concurrency', self.celery_processes)
        if self.forks:
            self.workers = workers
            self.preload = True
        elif pool != 'solo':
            self.threads = workers

    def celery_processes(self):
        if 'autoscale' in self.service.options:
            return integer(self.service.options['autoscale'].split(',')[0])
        value = self.configured('concurrency')
        if value is None:
            self.cpus = True
            return os.cpu_count() or 1
        return self.count(value)

    def configured(self, name):
        for key in ('worker_' + name, 'CELERY_WORKER_' + name.upper(),
                    'CELERYD_' + name.upper(), 'worker_' + name.upper()):
            found = self.project.setting(key)
            if found:
                return found[0][1]
        return None

    # ---- uwsgi ----

    def _uwsgi(self, deployments):
        service = self.service
        options = dict(service.options)
        if service.config:
            base = os.path.basename(service.config)
            for path, values in deployments.ini.items():
                if path == service.config or os.path.basename(path) == base:
                    self.config = path
                    options = {**{name: commands.expand(text.replace('$(', '${').replace(')', '}'),
                                                        service.environment)
                                  for name, (text, _) in values.items()}, **options}
                    break
        service.options = options
        service.app = service.app or options.get('module') or options.get('wsgi') \
            or options.get('wsgi-file') or options.get('file')
        workers = service.number('processes', 'workers')
        given = 'processes' in options or 'workers' in options
        self.workers = workers if workers is not None or given else 1
        threads = service.number('threads')
        self.threads = threads if threads is not None or 'threads' in options else 1
        self.preload = not (service.has('lazy-apps') or service.has('lazy'))
        self.forks = service.has('master') or self.workers != 1

    # ---- uvicorn: workers are started anew, not forked ----

    def _uvicorn(self, _deployments):
        self.workers = self.given('workers', lambda: integer(
            self.service.environment.get('WEB_CONCURRENCY')) or 1)
        self.asynchronous = True

    # ---- what its processes load ----

    def starts(self):
        """The places that run when the application is loaded."""
        project = self.project
        app = (self.service.app or '').replace('.py', '') if self.service.app else ''
        module, _, factory = app.partition(':')
        factory = factory.split('(')[0]
        module = module.replace('/', '.').strip('.')
        path = project.module(module) if module else None
        if self.kind == 'celery' and module:
            path = project.module(module + '.celery') or path
        if self.kind == 'celery' and not project.is_django:
            tasks = self.task_modules()
            return tasks + ([(path, '')] if path else []) if tasks or path else self.all_modules()
        if path is None or project.is_django:
            return self.all_modules() + ([(path, '')] if path else [])
        place = project.function(path, '', '.' + factory) if factory else None
        return [(path, ''), place]

    def task_modules(self):
        """Celery is told of them in many ways; what all have is a decorator."""
        return [(path, '') for path, facts in self.project.facts.items()
                if not self.project.is_test(path) and any(
                    name.endswith(('.task', '.shared_task'))
                    for name in facts['functions']['']['calls'])]

    def all_modules(self):
        """The application cannot be told from the rest, or finds its modules by itself."""
        project = self.project
        places = [(path, '') for path in project.facts
                  if not project.is_test(path) and not project.is_script(path)
                  and os.path.basename(path) not in ('manage.py', 'setup.py')]
        return places + list(project.hooks('django_ready'))

    def hooks(self, names):
        if not self.config or self.config not in self.project.facts:
            return []
        functions = self.project.facts[self.config]['functions']
        return [(self.config, name) for name in names if name in functions]
