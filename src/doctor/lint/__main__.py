# SPDX-License-Identifier: PostgreSQL
"""What `tine doctor --lint` runs to read a project: python3 -I -S DIRECTORY [OPTION...] -- PATH.

Writes one JSON object on standard output: findings (code, where, seen, change, lines, grade), and
facts. Nothing of the project is imported or executed. tine-doctor has the codes, and judges the
number of connections.

Options: --idle-limit SECONDS (0: not told)
"""
import json
import re
import signal
import sys

import budget
import forks
import pools
import reader
import settings
from deploy import Deployments
from project import Project
from server import Running
from walk import Walk

ALL_SECONDS = 170   # tine-doctor waits for ten more
NOT_PLAIN = re.compile('[^ -~]')


def arguments(words):
    idle_limit = None
    while words and words[0] != '--':
        if words[0] != '--idle-limit':
            raise SystemExit('unknown option')
        idle_limit = int(words[1]) or None
        words = words[2:]
    return words[1], idle_limit


def gather(walk):
    """(Project, Deployments) of the files that were found."""
    deployments = Deployments()
    python = []
    for kind, path in walk.files:
        if kind == 'python':
            python.append(path)
            continue
        try:
            deployments.add(kind, path, walk.read(path))
        except OSError as error:
            walk.skipped.append((path, error.strerror))
    facts = reader.read_all(walk, python)
    deployments.finish()
    walk.skipped += deployments.problems
    environment = dict(deployments.environment)
    for file in deployments.dockerfiles.values():
        for name, value in file.environment.items():
            environment.setdefault(name, value)
    return Project(facts, environment), deployments


def unread(walk):
    for path, why in walk.skipped:
        yield settings.finding('file-not-read', path, why)
    if walk.truncated:
        yield settings.finding('project-too-large', walk.given,
                               'there are %s; the rest was not read' % walk.truncated)


def unique(findings):
    seen = set()
    for made in findings:
        if made and (made['code'], made['where']) not in seen:
            seen.add((made['code'], made['where']))
            yield made


def examine(path, idle_limit):
    walk = Walk(path)
    walk.run()
    project, deployments = gather(walk)
    found = pools.find(project)
    running = {service: Running(project, deployments, service)
               for deployment in deployments.list for service in deployment.services}
    counted = budget.implied(project, deployments, running)
    judge = forks.Forks(project, found, list(running.values()))
    findings = list(judge.judge())
    findings += settings.judge(project, found, idle_limit, deployments.sources)
    findings += unread(walk)
    return {
        'findings': list(unique(findings)),
        'files': len(walk.files), 'python': '%d.%d' % sys.version_info[:2],
        'pools': [budget.pool_facts(pool) for pool in found],
        'deployments': [budget.deployment_facts(deployment, running, judge, found)
                        for deployment in counted],
    }


def clean(value):
    """Names of files may be any bytes: what is no plain ASCII becomes '?'."""
    if isinstance(value, dict):
        return {key: clean(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [clean(inner) for inner in value]
    return NOT_PLAIN.sub('?', value) if isinstance(value, str) else value


def main():
    path, idle_limit = arguments(sys.argv[1:])
    signal.alarm(ALL_SECONDS)
    try:
        if sys.version_info < (3, 9):
            result = {'error': 'needs Python 3.9 or newer, and %s is %d.%d'
                               % (sys.executable, *sys.version_info[:2])}
        else:
            result = examine(path, idle_limit)
    except OSError as error:
        result = {'error': error.strerror or str(error)}
    except Exception as error:
        result = {'error': reader.bug(error)}
    json.dump(clean(result), sys.stdout)


if __name__ == '__main__':
    main()
