# SPDX-License-Identifier: PostgreSQL
"""What is wrong with forks: connections and pools that exist before one, hooks that are missing or
that end the parent's sessions, and what talks to the server at times when nobody asked."""
from pools import SQLALCHEMY
from server import CHILD_HOOKS, MASTER_HOOKS
from settings import called, finding

CHILD_KINDS = ('celery_child', 'uwsgi_child', 'fork_child', 'process_child')
HOOK_LINES = {
    'gunicorn': ['def post_fork(server, worker):', '    from {module} import {engine}',
                 '    {engine}.dispose(close=False)'],
    'celery': ['from celery.signals import worker_process_init', '@worker_process_init.connect',
               'def forget_inherited_connections(**_):', '    {engine}.dispose(close=False)'],
    'uwsgi': ['lazy-apps = true'],
}


class Forks:
    def __init__(self, project, pools, running):
        self.project = project
        self.pools = pools
        self.running = [service for service in running if service.forks]
        self.all = running
        self.loads = {service: project.reach(service.starts()) for service in running}

    # ---- hooks ----

    def child_places(self, service):
        """What runs in a child after the fork, by the hooks of this service."""
        kinds = {'gunicorn': (), 'celery': ('celery_child',), 'uwsgi': ('uwsgi_child',)}
        starts = list(self.project.hooks('fork_child', *kinds[service.kind]))
        if service.kind == 'gunicorn':
            starts += service.hooks(CHILD_HOOKS)
        return self.project.reach(starts)

    def forgets(self, service):
        """Whether children forget what they inherit, or never inherit anything."""
        children = self.child_places(service)
        if any(pool for pool in self.pools if (pool.path, pool.func) in children and pool.func):
            return True
        for path, op in self.project.items('ops', children):
            if op['name'].endswith(('.dispose', '.recreate')) or self.opens(path, op):
                # One that closes is a finding of its own.
                return True
        if service.kind == 'gunicorn':
            masters = self.project.reach(service.hooks(MASTER_HOOKS))
            if any(op['name'].endswith('.dispose')
                   for _, op in self.project.items('ops', masters)):
                return True
        return self.checks_pid()

    def opens(self, path, op):
        recv, _, attr = op['name'].rpartition('.')
        return attr == 'open' and self.project.type_of(path, op['func'], recv) == 'pool'

    def checks_pid(self):
        """SQLAlchemy's recipe: connections of another pid are refused at checkout."""
        places = set(self.project.hooks('checkout'))
        return any(op['name'].endswith('getpid') for _, op in self.project.items('ops', places))

    def inherited(self, service):
        """Pools that exist when this service forks."""
        loaded = self.loads[service]
        return [pool for pool in self.pools if (pool.path, pool.func) in loaded
                and pool.api != 'django' and pool.kept]

    def missing(self):
        """A pool before the fork, and no hook that makes it harmless."""
        for service in self.running:
            if service.guarded or not service.preload or self.forgets(service):
                continue
            pools = self.inherited(service)
            for pool in pools:
                yield self.before_fork(service, pool)
            others = [pool for pool in self.pools if pool.api != 'django' and pool.kept
                      and pool not in pools and not self.project.is_script(pool.path)]
            if others and not pools and service.kind != 'uwsgi':
                yield finding('%s-hook-missing' % service.kind, service.where,
                              '%s forks after the application is loaded; there is a pool (%s), '
                              'and no hook that forgets its connections'
                              % (service.label, others[0].where),
                              lines=self.hook_lines(service, others[0]), grade='warning')

    def before_fork(self, service, pool):
        how = {'gunicorn': 'gunicorn with --preload', 'uwsgi': 'uwsgi without lazy-apps',
               'celery': 'celery\'s prefork pool'}[service.kind]
        code = 'celery-hook-missing' if service.kind == 'celery' else 'engine-before-fork'
        return finding(code, pool.where, '%s runs before the fork of %s (%s), and no hook '
                       'forgets what is inherited' % (called(pool), how, service.where),
                       lines=self.hook_lines(service, pool))

    def hook_lines(self, service, pool):
        engine = pool.target or 'engine'
        if pool.api == 'sqlalchemy-async':
            engine += '.sync_engine'
        elif pool.api not in SQLALCHEMY:
            # A pool of threads does not come through a fork; it has to be opened in the child.
            return ['ConnectionPool(..., open=False)    # at import',
                    '%s.open()    # in %s' % (engine, {
                        'gunicorn': 'post_fork of gunicorn.conf.py', 'uwsgi': '@postfork',
                        'celery': '@worker_process_init.connect'}[service.kind])] \
                if pool.api.startswith('psycopg_pool') else []
        elif pool.api == 'flask':
            engine = 'db.engine'
        module = pool.path[:-3].replace('/', '.').replace('.__init__', '')
        return [line.format(module=module, engine=engine) if 'import {engine}' not in line
                else line.format(module=module, engine=engine.split('.')[0])
                for line in HOOK_LINES[service.kind]]

    def processes(self):
        """multiprocessing and os.fork() in a program that has a pool."""
        project = self.project
        children = project.reach(list(project.hooks('process_child', 'fork_child')))
        if self.checks_pid() or any(
                op['name'].endswith('.dispose') for _, op in project.items('ops', children)) or any(
                    (pool.path, pool.func) in children for pool in self.pools):
            return
        for path in sorted(project.facts):
            facts = project.facts[path]
            spawns = any(name.endswith(('.set_start_method', '.get_context'))
                         for function in facts['functions'].values() for name in function['calls'])
            if not facts['forks'] or spawns or project.is_test(path):
                continue
            loaded = project.reach([(path, ''), (path, '__main__')])
            pools = [pool for pool in self.pools if (pool.path, pool.func) in loaded and pool.kept
                     and pool.api != 'django']
            if pools:
                fork = facts['forks'][0]
                yield finding('process-inherits-pool', '%s:%d' % (path, fork['line']),
                              '%s() in a program that has a pool (%s)'
                              % (fork['name'], pools[0].where),
                              lines=['%s.dispose(close=False)' % (pools[0].target or 'engine')]
                              if pools[0].api in SQLALCHEMY else [])

    # ---- hooks that close ----

    def closing(self):
        """dispose() without close=False, or close(), of what a child inherited."""
        project = self.project
        starts = list(project.hooks(*(kind for kind in CHILD_KINDS if not self.guarded(kind))))
        for service in self.running:
            if service.kind == 'gunicorn' and service.preload and not service.guarded:
                starts += service.hooks(CHILD_HOOKS)
        children = project.reach(starts)
        imports = project.reach([(path, '') for path in project.facts])
        for path, op in project.items('ops', children):
            if (path, op['func']) in imports and op['func'] == '':
                continue
            what = self.closes(path, op)
            if what:
                yield finding('dispose-closes-parent', '%s:%d' % (path, op['line']),
                              '%s in a hook that runs in the child of a fork' % what,
                              lines=['%s.dispose(close=False)' % op['name'].rsplit('.', 1)[0]
                                     .lstrip('.').replace('()', '()')]
                              if 'dispose' in what else [])

    def guarded(self, kind):
        """Whether all that could run such hooks is started under tine."""
        servers = [service for service in self.all
                   if kind.split('_')[0] in (service.kind, 'fork', 'process')]
        return bool(servers) and all(service.guarded for service in servers)

    def closes(self, path, op):
        recv, _, attr = op['name'].rpartition('.')
        kind = self.project.type_of(path, op['func'], recv)
        if attr == 'dispose':
            close = [self.project.values.value((path, op['func']), node) for node in op['close']]
            return None if close and close[0] is not True else 'dispose() without close=False'
        if op['name'] in ('django.db.connections.close_all', 'django.db.connection.close'):
            return op['name'] + '()'
        if attr in ('close', 'closeall') and kind in ('pool', 'conn'):
            bound = self.project.bound(path, op['func'], recv.lstrip('.'), False)
            own = bound and bound[1] == op['func'] and op['func']
            return None if own else '%s() of a %s' % (
                attr, 'pool' if kind == 'pool' else 'connection')
        return None

    # ---- talking when nobody asked ----

    def early(self):
        """Connections and queries at import, and in hooks of the master."""
        project = self.project
        app = set().union(*self.loads.values())
        if not self.all:
            app = project.reach([(path, '') for path in project.facts
                                 if not project.is_test(path) and not project.is_script(path)]
                                + list(project.hooks('django_ready')))
        masters = list(project.hooks('celery_master'))
        for service in self.running:
            if service.kind == 'gunicorn':
                masters += service.hooks(MASTER_HOOKS)
        masters = project.reach(masters) - app
        done = set()
        for places, when in ((app, 'at import'), (masters, 'in a hook of the master process')):
            yield from self.talks(places, when, done)
        startup = project.reach(list(project.hooks('startup'))) - app - masters
        for path, op in project.items('ops', startup):
            if op['trivial'] and project.talk(path, op) and not op['loop']:
                yield self.warm_up(path, op, 'at the start of each worker', 'note')

    def talks(self, places, when, done):
        project = self.project
        dangerous = any(service.preload and not service.guarded and not self.forgets(service)
                        for service in self.running)
        looping = self.thread_places()
        for pool in self.pools:
            if (pool.path, pool.func) in places and self.opens_itself(pool):
                done.add((pool.path, pool.func))
                yield self.connect(pool.where, '%s opens its connections' % called(pool), when,
                                   dangerous)
        for path, op in project.items('ops', places - looping):
            talk = None if op['name'].endswith('.open') and not self.opens(path, op) \
                else project.talk(path, op)
            if talk and op['trivial']:
                yield self.warm_up(path, op, when, None)
            elif talk and (path, op['func']) not in done:
                done.add((path, op['func']))
                yield self.connect('%s:%d' % (path, op['line']), '%s()' % op['name'].lstrip('.')
                                   .replace('()', ''), when, dangerous)

    def opens_itself(self, pool):
        if pool.api == 'psycopg_pool':
            return pool.settings.known('open') in (None, True)
        return pool.api == 'psycopg2' and pool.number(None, 'minconn') != 0

    def connect(self, where, what, when, dangerous):
        made = finding('connect-on-import', where, '%s %s' % (what, when))
        if dangerous:
            made['seen'] += ', and then the process forks'
            made['grade'] = 'hazard'
        return made

    def warm_up(self, path, op, when, grade):
        made = finding('warm-up-query', '%s:%d' % (path, op['line']),
                       'a query that asks for nothing, %s' % when)
        if grade:
            made['grade'] = grade
        return made

    # ---- threads ----

    def thread_places(self):
        targets = []
        for path in self.project.facts:
            for thread in self.project.facts[path]['threads']:
                targets.append(self.project.function(path, thread['func'], thread['target']))
        return self.project.reach(targets)

    def keepalives(self):
        """Threads that send queries for ever so that connections stay open."""
        project = self.project
        for path in sorted(project.facts):
            if project.is_test(path):
                continue
            for thread in project.facts[path]['threads']:
                target = project.function(path, thread['func'], thread['target'])
                if not target:
                    continue
                places = project.reach([target])
                again = thread['by'] == 'add_job' or any(
                    project.facts[p]['functions'].get(f, {}).get('loop') for p, f in places) or \
                    thread['by'] == 'Timer'
                ping = next((op for p, op in project.items('ops', places)
                             if op['trivial'] and project.talk(p, op)), None)
                if again and ping:
                    yield finding('keepalive-thread', '%s:%d' % (path, thread['line']),
                                  '%s sends a query that asks for nothing, again and again'
                                  % thread['target'].lstrip('.'))

    def judge(self):
        yield from self.missing()
        yield from self.processes()
        yield from self.closing()
        yield from self.early()
        yield from self.keepalives()
