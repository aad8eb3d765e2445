# SPDX-License-Identifier: PostgreSQL
"""Command lines that start servers: what they run, with how many processes and threads."""
import re
import shlex

from values import HOLE, integer

SERVERS = re.compile(r'(gunicorn|celery|uwsgi|uvicorn|hypercorn|fastapi)[\d._]*(python[\d.]*)?\Z')
SERVER_NAME = re.compile(r'gunicorn|celery|uwsgi|uvicorn|hypercorn|fastapi')
# Words after which the name of a server is not what is run.
NOT_RUN = {'install', 'add', 'echo', 'which', 'pip', 'apt-get', 'apk', 'pgrep', 'kill', 'grep',
           'command', 'type', 'rm', 'cp', 'uninstall', '#'}
MAX_WORDS = 2000
MAX_DEPTH = 5

GUNICORN_FLAGS = {
    '--preload', '--reload', '--daemon', '-D', '--spew', '--check-config', '--print-config',
    '--reuse-port', '--no-sendfile', '--initgroups', '--capture-output', '--log-syslog', '-R',
    '--enable-stdio-inheritance', '--proxy-protocol', '--suppress-ragged-eofs',
    '--do-handshake-on-connect', '--disable-redirect-access-to-syslog',
}
CELERY_FLAGS = {'-B', '--beat', '-E', '--events', '--without-gossip', '--without-mingle',
                '--without-heartbeat', '-D', '--detach', '-q', '--purge', '--discard', '-O'}


class Service:
    """One way in which processes of the project are started."""

    def __init__(self, kind, where, environment):
        self.kind = kind
        self.where = where
        self.environment = environment
        self.name = None
        self.guarded = False
        self.app = None
        self.config = None
        self.options = {}
        self.replicas = 1

    def number(self, *names):
        for name in names:
            value = integer(self.options.get(name))
            if value is not None:
                return value
        return None

    def has(self, *names):
        return any(self.options.get(name, HOLE) not in (HOLE, 'false', '0', 'no', 'off')
                   for name in names)


def expand(word, environment):
    """$NAME, ${NAME}, ${NAME:-default} by what is known of the environment, else HOLE."""
    def value(match):
        if match.group(0) == '$$':
            return '$'
        name = match.group(1) or match.group(2)
        known = environment.get(name)
        if known:
            return known
        return match.group(4) if match.group(3) in (':-', '-') else HOLE

    if len(word) > 10000:
        return HOLE
    return re.sub(r'\$\$|\$(\w+)|\$\{(\w+)(:?[-=?+])?([^{}]*)\}|\$\([^()]*\)', lambda match:
                  HOLE if match.group(0).startswith('$(') else value(match), word)


def split(text):
    """The simple commands of a line of shell, each a list of words."""
    lexer = shlex.shlex(text[:20000], posix=True, punctuation_chars=';&|()<>')
    lexer.whitespace_split = True
    lexer.commenters = '#'
    commands, words = [], []
    try:
        for token in lexer:
            if token and set(token) <= set(';&|()'):
                commands.append(words)
                words = []
            elif len(words) < MAX_WORDS:
                words.append(token)
    except ValueError:
        words = text[:20000].split()[:MAX_WORDS]
    return [words for words in commands + [words] if words]


def base(word):
    return word.rsplit('/', 1)[-1]


def assignments(words):
    """Variables before a command: A=1 B=2 gunicorn ..., also after `env` and `export`."""
    given = {}
    for word in words:
        match = re.match(r'(\w+)=(.*)\Z', word, re.S)
        if match:
            given[match.group(1)] = match.group(2)
    return given


def services(words, where, environment, depth=0):
    """The services that a simple command starts, most often none or one."""
    words = [expand(word, environment) for word in words[:MAX_WORDS]]
    for at, word in enumerate(words):
        if base(word) in NOT_RUN:
            return []
        if base(word) in ('sh', 'bash', 'dash', 'ash') and depth < MAX_DEPTH:
            rest = words[at + 1:]
            if rest and re.match(r'-\w*c\w*\Z', rest[0]) and len(rest) > 1:
                return text_services(rest[1], where, environment, depth + 1)
        match = SERVERS.match(base(word))
        if match:
            service = Service(match.group(1), where,
                              {**environment, **assignments(words[:at])})
            names = [base(before) for before in words[:at]]
            service.guarded = 'tine' in names and 'run' in names[names.index('tine'):]
            READERS[service.kind](service, words[at + 1:])
            return [service]
    return []


def text_services(text, where, environment, depth=0):
    found = []
    for words in split(text):
        found += services(words, where, environment, depth)
    return found


def scripts(words):
    """Shell scripts that a command runs, by their file's name."""
    return [base(word) for word in words if word.endswith('.sh')]


def options(words, flags, short):
    """(options, operands): '--name value', '--name=value', '-n value', '-nvalue'."""
    found, operands = {}, []
    words = iter(words)
    for word in words:
        if word.startswith('--'):
            name, equals, value = word.partition('=')
            if name in flags:
                found[name[2:]] = 'true'
            else:
                found[name[2:]] = value if equals else next(words, HOLE)
        elif re.match(r'-\w', word):
            name, value = word[:2], word[2:].lstrip('=')
            if name in flags:
                found[name[1:]] = 'true'
            else:
                found[short.get(name, name[1:])] = value or next(words, HOLE)
        else:
            operands.append(word)
    return found, operands


def gunicorn(service, words):
    short = {'-w': 'workers', '-k': 'worker-class', '-c': 'config'}
    found, operands = options(words, GUNICORN_FLAGS, short)
    extra = service.environment.get('GUNICORN_CMD_ARGS')
    if extra:
        given, more = options([word for part in split(extra) for word in part], GUNICORN_FLAGS,
                              short)
        found = {**given, **found}
        operands += more
    service.options = found
    service.config = found.get('config')
    service.app = next((word for word in operands if re.match(r'[\w.]+(:.*)?\Z', word)), None)


def celery(service, words):
    found, operands = options(words, CELERY_FLAGS, {'-A': 'app', '-c': 'concurrency',
                                                    '-P': 'pool', '-Q': 'queues'})
    service.options = found
    service.app = found.get('app')
    service.options['command'] = next((word for word in operands if word in (
        'worker', 'beat', 'flower', 'inspect', 'multi', 'events', 'control')), 'other')


def uwsgi(service, words):
    found, operands = uwsgi_options(words)
    service.options = found
    service.config = found.get('ini') or next(
        (word for word in operands if word.endswith('.ini')), None)
    service.app = found.get('module') or found.get('wsgi-file') or found.get('wsgi')


def uwsgi_options(words):
    found, operands = {}, []
    at = 0
    short = {'-p': 'processes', '-w': 'module', '-M': 'master', '-i': 'single'}
    while at < len(words):
        word = words[at]
        at += 1
        if not word.startswith('-'):
            operands.append(word)
            continue
        name, equals, value = word.lstrip('-').partition('=')
        if not word.startswith('--'):
            name = short.get(word[:2], word[1:2])
            value, equals = word[2:], word[2:]
        if not equals and at < len(words) and not words[at].startswith('-') \
                and not words[at].endswith('.ini') or name == 'ini' and not equals:
            value = words[at] if at < len(words) else HOLE
            at += 1
        found[name] = value or 'true'
    return found, operands


def uvicorn(service, words):
    found, operands = options(words, {'--reload', '--no-access-log', '--proxy-headers',
                                      '--factory', '--use-colors'}, {'-w': 'workers'})
    service.options = found
    service.app = next((word for word in operands if re.match(r'[\w.]+(:.*)?\Z', word)), None)


def fastapi(service, words):
    uvicorn(service, words)
    service.app = None      # a file, and often left out


READERS = {'gunicorn': gunicorn, 'celery': celery, 'uwsgi': uwsgi, 'uvicorn': uvicorn,
           'hypercorn': uvicorn, 'fastapi': fastapi}
