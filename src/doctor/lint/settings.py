# SPDX-License-Identifier: PostgreSQL
"""What is wrong with the settings of pools: findings as dicts of code, where, seen, change, lines,
grade. Codes, their grades and reasons are in tine-doctor's table."""
from pools import SQLALCHEMY, WEAK
from values import HOLE, UNKNOWN, is_number

FEATURES = ('pool_pre_ping', 'pool_recycle', 'TLS', 'keepalives')


def finding(code, where, seen, **more):
    return {'code': code, 'where': where, 'seen': seen, **more}


def called(pool):
    return pool.maker if pool.api == 'django' else pool.maker + '()'


def no_pre_ping(pool):
    if not pool.kept or pool.pings() is not False:
        return None
    if pool.api == 'django':
        return finding('no-pre-ping', pool.where,
                       '%s keeps connections (CONN_MAX_AGE) without CONN_HEALTH_CHECKS'
                       % pool.maker, lines=["'CONN_HEALTH_CHECKS': True,"])
    if pool.api in SQLALCHEMY:
        line = 'SQLALCHEMY_ENGINE_OPTIONS = {"pool_pre_ping": True}' if pool.api == 'flask' \
            else '%s(..., pool_pre_ping=True)' % pool.maker
        return finding('no-pre-ping', pool.where, '%s without pool_pre_ping' % called(pool),
                       lines=[line])
    return finding('no-pre-ping', pool.where, '%s without check' % called(pool),
                   lines=['%s(..., check=%s.check_connection)' % (pool.maker, pool.maker)])


def watched(pool, limit):
    """Whether the system's keepalives come sooner than the idle limit."""
    idle = pool.server.keys.get('keepalives_idle')
    idle = int(idle) if isinstance(idle, str) and idle.isdigit() else idle
    return is_number(idle) and 0 < idle < limit or '?' in pool.server.keys


def too_old(pool, limit, whose):
    if not pool.kept or limit is None or watched(pool, limit):
        return None
    age = pool.age()
    if age is UNKNOWN or (pool.settings.open and age is None):
        return None
    if age is not None and age < limit:
        return None
    name = pool.age_name()
    seen = '%s: %s' % (called(pool), 'connections are never replaced' if age is None
                       else '%s is %g s' % (name, age))
    return finding('age-above-idle-limit', pool.where,
                   '%s; idle connections are cut after %g s (%s)' % (seen, limit, whose),
                   change='Let connections be replaced before that.',
                   lines=['%s = %d' % (name, max(1, int(limit * 0.8)))]
                   if name != 'the age' else [])


def where_string(pool, sources):
    """Where the connection string is written."""
    if pool.variable in sources:
        return '%s: %s' % (sources[pool.variable], pool.variable)
    return pool.where


def no_tls(project, pool, sources):
    server = pool.server
    mode = server.sslmode
    if server.place == 'local' or mode is UNKNOWN and server.postgres is not None:
        return None
    if mode is UNKNOWN:
        if pool.api == 'django' or project.is_migration(pool.path):
            return None
        name = pool.variable
        return finding('sslmode-unknown', pool.where,
                       '%s takes its connection string from %s, which is not in the project; '
                       'nothing else demands TLS' % (called(pool), name or 'elsewhere'))
    if isinstance(mode, str) and (HOLE in mode or mode.lower() not in WEAK):
        return None
    said = 'sslmode is %s' % mode.lower() if isinstance(mode, str) else 'no sslmode'
    place = {'private': ' to a host of a private network', 'remote': ' to another host',
             None: ''}[server.place]
    made = finding('no-sslmode', where_string(pool, sources),
                   '%s for the connections of %s%s' % (said, called(pool), place))
    if server.place == 'private':
        made['grade'] = 'note'
    return made


# ---- engines that are not like the first one --------------------------------------------------


def features(pool):
    """{feature: has it}, where that is known."""
    has = {'pool_pre_ping': pool.pings()}
    age = pool.age()
    has['pool_recycle'] = None if age is UNKNOWN else age is not None
    mode = pool.server.sslmode
    has['TLS'] = None if mode is UNKNOWN else isinstance(mode, str) and mode.lower() not in WEAK
    has['keepalives'] = None if '?' in pool.server.keys else \
        any(name.startswith('keepalives') for name in pool.server.keys)
    if not pool.kept:
        has['pool_pre_ping'] = has['pool_recycle'] = None
    if pool.server.place == 'local':
        has['TLS'] = None
    return has


def second_engines(project, pools):
    """{pool: finding} of engines that lack what the best one has."""
    engines = [pool for pool in pools if pool.api in SQLALCHEMY]
    if len(engines) < 2:
        return {}
    first = max(engines, key=lambda pool: (sum(v is True for v in features(pool).values()),
                                           not project.is_script(pool.path)))
    wanted, found = features(first), {}
    for pool in engines:
        has = features(pool)
        missing = [name for name in FEATURES if wanted[name] is True and has[name] is False]
        if pool is not first and missing:
            found[pool] = finding(
                'second-engine', pool.where, 'another %s than that of %s, without its %s'
                % (called(pool), first.where, ', '.join(missing)))
    return found


def judge(project, pools, idle_limit, sources):
    second = second_engines(project, pools)
    for pool in pools:
        lacking = second.get(pool)
        if lacking:
            yield lacking
        if not lacking or 'pool_pre_ping' not in lacking['seen']:
            yield no_pre_ping(pool)
        limit, whose = idle_limit, 'as told'
        if limit is None and pool.server.provider:
            whose, limit = pool.server.provider
        if not lacking or 'pool_recycle' not in lacking['seen']:
            yield too_old(pool, limit, whose)
        if not lacking or 'TLS' not in lacking['seen']:
            yield no_tls(project, pool, sources)
