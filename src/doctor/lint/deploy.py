# SPDX-License-Identifier: PostgreSQL
"""How a project is started: Dockerfile, Procfile, compose files, systemd units, shell scripts,
uWSGI's ini files, and the variables that .env files give.

Files are alternatives: the same service is often in several. A Deployment is what is started
together: the services of one Procfile or of one compose file, or else all Dockerfiles, units and
scripts.
"""
import json
import os

import commands
import yamlish
from commands import Service
from values import integer

MAX_SERVICES = 200     # of one file, and of files


class Deployment:
    def __init__(self, name):
        self.name = name
        self.services = []


def text_of(data):
    return data.decode('utf-8', 'replace').replace('\r\n', '\n')


def logical_lines(text, comment='#'):
    """(number, line) with lines joined that end in a backslash."""
    joined, start = '', 0
    for number, line in enumerate(text.split('\n'), 1):
        stripped = line.strip()
        if stripped.startswith(comment):
            continue
        start = start or number
        if stripped.endswith('\\'):
            joined += stripped[:-1] + ' '
            continue
        if (joined + stripped).strip():
            yield start, (joined + stripped).strip()
        joined, start = '', 0
    if joined.strip():
        yield start, joined.strip()


def variables(text):
    """The variables of a .env file."""
    found = {}
    for line in text.split('\n')[:5000]:
        name, equals, value = line.partition('=')
        name, value = name.split()[-1:], value.strip()
        if not equals or not name or not name[0].isidentifier():
            continue
        if len(value) > 1 and value[0] in '"\'' and value[0] in value[1:]:
            value = value[1:value.index(value[0], 1)]
        else:
            value = value.partition(' #')[0].rstrip()
        found[name[0]] = value
    return found


def section(text, name):
    """(key, value, line) of one section of an ini file."""
    inside = False
    for number, line in logical_lines(text.replace('\n;', '\n#')):
        if line.startswith('['):
            inside = line.strip('[] ').lower() == name
        elif inside and '=' in line:
            key, _, value = line.partition('=')
            yield key.strip(), value.strip(), number
        elif inside:
            yield line.strip(), 'true', number


class Dockerfile:
    """The last stage: what it starts, and with which variables."""

    def __init__(self, path, text):
        self.path = path
        self.environment = {}
        self.entrypoint, self.command = [], []
        self.line = 1
        for number, line in logical_lines(text):
            word, _, rest = line.partition(' ')
            handler = getattr(self, '_' + word.lower(), None)
            if handler and word.isalpha():
                handler(rest.strip(), number)

    def _from(self, _rest, _number):
        self.entrypoint, self.command = [], []

    def _env(self, rest, _number):
        words = commands.split(rest)
        given = commands.assignments(words[0] if words else [])
        if not given and ' ' in rest:
            given = dict([rest.split(None, 1)])
        self.environment.update(given)

    def _arg(self, rest, number):
        if '=' in rest:
            self._env(rest, number)

    def words(self, rest):
        if rest.startswith('['):
            try:
                words = json.loads(rest)
                return [word for word in words if isinstance(word, str)]
            except (ValueError, RecursionError):
                pass
        return ['sh', '-c', rest]

    def _cmd(self, rest, number):
        self.command, self.line = self.words(rest), number

    def _entrypoint(self, rest, number):
        self.entrypoint, self.line = self.words(rest), number


class Deployments:
    """All ways of starting the project. add(), then finish()."""

    def __init__(self):
        self.environment = {}
        self.sources = {}
        self.problems = []
        self.dockerfiles, self.scripts, self.ini = {}, {}, {}
        self.compose, self.procfiles, self.units = [], [], []
        self.list = []

    def add(self, kind, path, data):
        getattr(self, 'add_' + kind)(path, text_of(data))

    def add_env(self, path, text):
        for name, value in variables(text).items():
            # The plain .env wins over .env.production and the like.
            if name not in self.environment or os.path.basename(path) == '.env':
                self.environment[name] = value
                self.sources[name] = path

    def add_dockerfile(self, path, text):
        self.dockerfiles[path] = Dockerfile(path, text)

    def add_shell(self, path, text):
        self.scripts[path] = text

    def add_procfile(self, path, text):
        self.procfiles.append((path, text))

    def add_unit(self, path, text):
        self.units.append((path, text))

    def add_uwsgi(self, path, text):
        self.ini[path] = {key: (value, line) for key, value, line in section(text, 'uwsgi')}

    def add_compose(self, path, text):
        try:
            self.compose.append((path, yamlish.read(text)))
        except yamlish.Problem as problem:
            self.problems.append((path, str(problem)))

    # ---- what they start ----

    def finish(self):
        for path, text in self.procfiles:
            self.deployment(path, self.from_procfile(path, text))
        for path, tree in self.compose:
            self.deployment(path, self.from_compose(path, tree))
        rest = []
        if not self.list:
            for path, file in self.dockerfiles.items():
                rest += self.from_words(file.entrypoint + file.command,
                                        '%s:%d' % (path, file.line),
                                        {**self.environment, **file.environment})
        for path, text in self.units:
            rest += self.from_unit(path, text)
        if not rest and not self.list:
            for path, text in self.scripts.items():
                rest += self.from_script(path, text, self.environment)
        if not rest and not self.list:
            rest = self.from_ini_alone()
        self.deployment('the project', rest)

    def deployment(self, name, services):
        if services and len(self.list) < MAX_SERVICES:
            made = Deployment(name)
            made.services = services[:MAX_SERVICES]
            self.list.append(made)

    def from_procfile(self, path, text):
        found = []
        for number, line in logical_lines(text):
            name, colon, command = line.partition(':')
            if not colon or len(found) >= MAX_SERVICES:
                continue
            where = '%s:%d' % (path, number)
            for service in self.from_words(['sh', '-c', command], where, self.environment):
                service.name = name.strip()
                found.append(service)
        return found

    def from_unit(self, path, text):
        found, environment = [], dict(self.environment)
        for key, value, line in section(text, 'service'):
            if key == 'Environment':
                for words in commands.split(value):
                    environment.update(commands.assignments(words))
            elif key == 'ExecStart':
                found += self.from_words(['sh', '-c', value.lstrip('@-:+!')],
                                         '%s:%d' % (path, line), environment)
        return found

    def from_words(self, words, where, environment):
        """Services of a command line, or of the script that it runs."""
        found = commands.services(words, where, environment)
        if found:
            return found
        names = {name for part in commands.split(' '.join(words))
                 for name in commands.scripts(part)}
        for path, text in self.scripts.items():
            if os.path.basename(path) in names:
                found += self.from_script(path, text, environment)
        return found

    def from_script(self, path, text, environment):
        found = []
        for number, line in logical_lines(text):
            if len(found) < MAX_SERVICES and commands.SERVER_NAME.search(line):
                found += commands.text_services(line, '%s:%d' % (path, number), environment)
        return found

    def from_ini_alone(self):
        found = []
        for path in self.ini:
            service = Service('uwsgi', '%s:1' % path, self.environment)
            service.config = path
            found.append(service)
        return found

    # ---- compose ----

    def from_compose(self, path, tree):
        found = []
        services = yamlish.get(tree, 'services')
        if services[0] is None and isinstance(tree[0], dict):
            services = tree
        for name, node in services[0].items() if isinstance(services[0], dict) else ():
            for service in self.compose_service(path, node):
                service.name = name
                found.append(service)
        return found

    def compose_service(self, path, node):
        environment = {**self.environment, **self.compose_environment(node)}
        dockerfile = self.dockerfile_of(path, node)
        words, line = [], node[1]
        for key in ('entrypoint', 'command'):
            value, number = yamlish.get(node, key)
            if value:
                words, line = words + self.compose_words(value), number
            elif dockerfile:
                words = words + getattr(dockerfile, key)
        if dockerfile:
            environment = {**dockerfile.environment, **environment}
        found = self.from_words(words, '%s:%d' % (path, line), environment)
        replicas = yamlish.get(node, 'deploy', 'replicas')[0] or yamlish.get(node, 'scale')[0]
        for service in found:
            text = commands.expand(replicas, environment) if isinstance(replicas, str) else None
            number = integer(text)
            service.replicas = number if number is not None else 1
        return found

    def compose_words(self, value):
        if isinstance(value, list):
            return [item[0] for item in value if isinstance(item[0], str)]
        return ['sh', '-c', value] if isinstance(value, str) else []

    def compose_environment(self, node):
        value = yamlish.get(node, 'environment')[0]
        if isinstance(value, dict):
            given = {name: inner[0] for name, inner in value.items()}
        elif isinstance(value, list):
            given = commands.assignments(item[0] for item in value if isinstance(item[0], str))
        else:
            given = {}
        return {name: commands.expand(text, self.environment) for name, text in given.items()
                if isinstance(text, str)}

    def dockerfile_of(self, path, node):
        build = yamlish.get(node, 'build')
        if build[0] is None:
            return None
        context, name = build[0], 'Dockerfile'
        if isinstance(build[0], dict):
            context = yamlish.get(build, 'context')[0] or '.'
            name = yamlish.get(build, 'dockerfile')[0] or name
        if not isinstance(context, str) or not isinstance(name, str):
            return None
        wanted = os.path.normpath(os.path.join(os.path.dirname(path), context, name))
        return self.dockerfiles.get(wanted)
