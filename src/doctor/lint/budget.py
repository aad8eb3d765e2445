# SPDX-License-Identifier: PostgreSQL
"""How many connections the services of a project can open; whether that is too many is judged where
the limit is known, in tine-doctor."""
from commands import Service
from deploy import Deployment
from server import Running


def implied(project, deployments, running):
    """The deployments; where no command line starts what is configured, the configuration's."""
    if deployments.list:
        return deployments.list
    services = []
    for path in sorted(project.facts):
        if path.rsplit('/', 1)[-1] in ('gunicorn.conf.py', 'gunicorn_conf.py',
                                       'gunicorn_config.py'):
            services.append(configured('gunicorn', path, project))
        elif not project.is_test(path) and is_celery(project, path):
            services.append(configured('celery', path, project))
    if not services:
        return []
    made = Deployment('the configuration')
    made.services = services
    for service in services:
        running[service] = Running(project, deployments, service)
    return [made]


def configured(kind, path, project):
    service = Service(kind, '%s:1' % path, project.environment)
    if kind == 'gunicorn':
        service.config = path
        app = project.facts[path]['consts'].get('wsgi_app')
        value = project.values.value((path, ''), app) if app else None
        service.app = value if isinstance(value, str) else None
    else:
        service.app = path[:-3].replace('/', '.')
    return service


def is_celery(project, path):
    return any(made in ('celery.Celery()', 'celery.app.base.Celery()')
               for made in project.facts[path]['binds'].values())


def pool_facts(pool):
    kept, more = pool.size()
    age = pool.age()
    return {'where': pool.where, 'kind': pool.api, 'size': kept, 'overflow': more,
            'age_s': age if isinstance(age, (int, float)) else None, 'pings': pool.pings()}


def pools_of(service, judge, found):
    """The pools that a process of this service has: those it loads, or, since they may be made
    later, those that no script of its own has."""
    loaded = judge.loads[service]
    mine = [pool for pool in found if (pool.path, pool.func) in loaded]
    return mine or [pool for pool in found if not judge.project.is_script(pool.path)]


def ceiling(service, pools):
    """(connections of one process at most, what its threads can use at once, how it adds up);
    None where there is no limit or it is not known."""
    total, parts = 0, []
    for pool in pools:
        kept, more = pool.size()
        if pool.api == 'django' and pool.django_pool() is None:
            kept = None if service.asynchronous else service.threads
            more = 0
        if not pool.kept and pool.api in ('sqlalchemy', 'flask'):
            kept, more = (None if service.asynchronous else service.threads), 0
        if kept is None or more is None:
            return None, None, '%s has no limit' % pool.where
        total += kept + more
        parts.append('(%d + %d)' % (kept, more) if more else '%d' % kept)
    most = total
    if not service.asynchronous and service.threads is not None and total:
        most = min(total, service.threads * len(pools))
    return total, most, ' + '.join(parts)


def service_facts(service, judge, found):
    pools = pools_of(service, judge, found)
    each, most, sum_text = ceiling(service, pools)
    single = service.kind == 'celery' and not service.preload and service.workers == 1 \
        and service.service.options.get('command', 'worker') != 'worker'
    return {'name': service.label, 'where': service.where,
            'workers': service.workers, 'replicas': service.service.replicas,
            'threads': service.threads, 'cpus': service.cpus, 'each': each, 'at_once': most,
            'sum': sum_text, 'pools': [pool.where for pool in pools],
            'counts': bool(pools) and not single}


def deployment_facts(deployment, running, judge, found):
    return {'name': deployment.name,
            'services': [service_facts(running[service], judge, found)
                         for service in deployment.services]}
