# SPDX-License-Identifier: PostgreSQL
"""PHP, Ruby and Perl programs that fork with a connection open; what is asked of a driver in
test_drivers.py is asked here of other languages' drivers, which all stand on libpq."""
import os

import pytest

from peer.harness import APPS, check_safe, need_language, safe

TRANSPORTS = ['tls13', 'plain', 'unix']
ACTIONS = {'php': ['exit', 'close', 'query', 'reset'], 'ruby': ['exit', 'close', 'query', 'reset'],
           'perl': ['exit', 'close', 'query']}

SUFFIX = {'php': '.php', 'ruby': '.rb', 'perl': '.pl'}


def run(site, language, action, transport, *options, **more_env):
    need_language(language)
    env = {**site.configure(transport, file=site.path('report')), **more_env}
    script = os.path.join(APPS, 'fork_once' + SUFFIX[language])
    return site.run([language, script, action], env, *options)


def cases(languages, transports):
    return [(language, action, transport) for language in languages
            for action in ACTIONS[language] for transport in transports]


@pytest.mark.parametrize('language,action,transport', cases(ACTIONS, TRANSPORTS))
def test_guarded(site, language, action, transport):
    """A random port, and nothing in the environment or the options that names it."""
    check_safe(run(site, language, action, transport), action)


@pytest.mark.guards('bare')
@pytest.mark.parametrize('language,action,transport', cases(ACTIONS, ['tls13', 'plain']))
def test_bare(site, language, action, transport):
    result = run(site, language, action, transport)
    assert not safe(result), result


@pytest.mark.parametrize('transport', ['tls13', 'plain'])
@pytest.mark.parametrize('hint', ['--port', 'DATABASE_URL', 'PGPORT'])
def test_php_with_hint(site, hint, transport):
    """PHP loads its extensions so that calls cannot be seen; a port that is known is enough."""
    port = site.cluster.port
    options, more_env = [], {}
    if hint == '--port':
        options = ['--port', port]
    elif hint == 'DATABASE_URL':
        more_env = {hint: site.cluster.url(transport)}
    else:
        more_env = {hint: str(port)}
    check_safe(run(site, 'php', 'query', transport, *options, **more_env), 'query')
