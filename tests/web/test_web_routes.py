# SPDX-License-Identifier: PostgreSQL
"""What `tine web` answers with: the page, JSON, metrics, and what it refuses."""
import html
import json
import os
import re

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from support import procs
from support.board import Member, tine
from webtools import POLICY, Document, Web

ROUTES = {
    '/': 'text/html; charset=utf-8',
    '/?tree=shop': 'text/html; charset=utf-8',
    '/json': 'application/json; charset=utf-8',
    '/json?tree=shop&history=0': 'application/json; charset=utf-8',
    '/metrics': 'application/openmetrics-text; version=1.0.0; charset=utf-8',
    '/health': 'application/json; charset=utf-8',
    '/page.css': 'text/css; charset=utf-8',
    '/page.js': 'text/javascript; charset=utf-8',
    '/icon.svg': 'image/svg+xml',
}


def check_safe(fields):
    """What is sent with everything, also with refusals."""
    assert fields['Content-Security-Policy'] == POLICY
    assert fields['X-Content-Type-Options'] == 'nosniff'
    assert fields['X-Frame-Options'] == 'DENY'
    assert fields['Referrer-Policy'] == 'no-referrer'
    assert fields['Cross-Origin-Resource-Policy'] == 'same-origin'
    assert fields['Cross-Origin-Opener-Policy'] == 'same-origin'
    assert fields['Cache-Control'] == 'no-store'
    assert not [name for name in fields if name.lower().startswith('access-control')]
    assert 'Set-Cookie' not in fields


def test_every_route(web):
    for path, kind in ROUTES.items():
        status, fields, body = web.get(path)
        assert (status, fields['Content-Type']) == (200, kind), path
        assert int(fields['Content-Length']) == len(body.encode()) > 0
        check_safe(fields)


def test_head_is_get_without_the_body(web):
    for path, kind in ROUTES.items():
        status, fields, body = web.get(path, 'HEAD')
        assert (status, fields['Content-Type'], body) == (200, kind, ''), path
        assert int(fields['Content-Length']) > 0
        check_safe(fields)


def test_a_connection_is_kept(web):
    connection = web.connection()
    for path in ROUTES:
        connection.request('GET', path)
        response = connection.getresponse()
        assert response.status == 200 and not response.will_close
        response.read()
    connection.close()


@pytest.mark.parametrize('method', ['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'TRACE', 'BREW'])
def test_other_methods(web, method):
    for path in ('/', '/json', '/nothing'):
        status, fields, _ = web.get(path, method, body='a=b')
        assert (status, fields['Allow']) == (405, 'GET, HEAD')
        check_safe(fields)


@pytest.mark.parametrize('path', [
    '/nothing', '/json/', '//', '/index.html', '/../etc/passwd', '/%2e%2e/etc/passwd',
    '/page.css%00', '/json%3ftree=shop', '/page.js/../json', '/assets/page.js', '/' + 'a' * 8000])
def test_other_paths(web, path):
    status, fields, body = web.get(path)
    assert status == 404
    assert path not in body
    check_safe(fields)


def test_a_tree_that_there_is_not(web):
    for path in ('/?tree=%3Cscript%3E', '/json?tree=nobody'):
        status, fields, body = web.get(path)
        assert status == 404 and '<script>' not in body
        check_safe(fields)


# ---- Host ---------------------------------------------------------------------------------------


@pytest.mark.parametrize('host', ['localhost', '127.0.0.1', '[::1]', 'LOCALHOST:1', '127.0.0.1:80'])
def test_hosts_that_are_this_one(web, host):
    assert web.get('/json', headers={'Host': host})[0] == 200


@pytest.mark.parametrize('host', [
    'evil.example', 'localhost.evil.example', '127.0.0.1.evil.example', 'localhost:80:80',
    '[::1', '::1', 'localhost@evil.example', '0', '127.1', '192.0.2.1', 'a' * 2000])
def test_hosts_of_others(web, host):
    for path in ('/', '/json', '/metrics', '/nothing'):
        status, fields, body = web.get(path, headers={'Host': host})
        assert status == 421 and 'shop' not in body
        check_safe(fields)


def test_two_hosts_or_none(web):
    both = web.raw(b'GET /json HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\n'
                   b'Connection: close\r\n\r\n')
    assert re.match(rb'HTTP/1.1 4\d\d ', both) and b'"trees"' not in both
    none = web.raw(b'GET /json HTTP/1.1\r\nConnection: close\r\n\r\n')
    assert re.match(rb'HTTP/1.1 4\d\d ', none) and b'"trees"' not in none
    old = web.raw(b'GET /json HTTP/1.0\r\n\r\n')
    assert re.match(rb'HTTP/1.[01] 421 ', old) and b'"trees"' not in old


def test_more_hosts(directory, shop):
    with Web(directory, '--host', 'status.example.org, other.example', '-d', '0') as web:
        for host, status in (('status.example.org', 200), ('OTHER.example:443', 200),
                             ('example.org', 421), ('', 421)):
            assert web.get('/health', headers={'Host': host})[0] == status


# ---- the page -----------------------------------------------------------------------------------


def test_the_page_without_a_script(web, shop):
    first, second = shop
    _, _, text = web.get('/?tree=shop')
    page = Document(text)
    rows = {name: rows[1:] for name, rows in page.tables.items()}
    assert [row[:5] for row in rows['processes']] == [
        ['w1', str(first.pid), 'alive', 'member', 'front <b>&"\''],
        ['w2', str(second.pid), 'alive', 'member', 'jobs']]
    assert sorted((row[0], row[2], row[4], row[5], row[8]) for row in rows['connections']) == [
        ('w1', 'idle', 'none', 'GET /?a=<script>&b', '101'), ('w2', 'busy', 'failed',
                                                              '"><img src=x>', '202'),
        ('w2', 'busy', 'open', 'job:mail', '201')]
    assert [row[2] for row in rows['connections']] == ['busy', 'busy', 'idle']
    assert [row[1:3] for row in rows['queue']] == [['w1', str(first.pid)]]
    assert [row[:2] for row in rows['waits']] == [['128us', '1'], ['1ms', '1'], ['2m14s', '1']]
    assert [row[:2] for row in rows['closed']] == [['lost', '1']]
    assert {'timeout', 'closed', 'opened', 'joined'} == {row[3] for row in rows['events']}
    assert 'SQLSTATE 57P03: down &lt;/p&gt;&lt;script&gt;' in text


def test_nothing_foreign_becomes_markup(web):
    page = Document(web.get('/?tree=shop')[2])
    names = [tag for tag, _ in page.elements]
    assert names.count('script') == 1 and names.count('b') == 0 and names.count('img') == 1
    for tag, attributes in page.elements:
        assert not [name for name in attributes if name.startswith('on') or name == 'style'], tag
    # nothing from elsewhere, and nothing within the page that its policy forbids
    links = [value for _, attributes in page.elements for name, value in attributes.items()
             if name in ('src', 'href')]
    assert links and not [link for link in links if re.match(r'[a-z]+:|//', link)]


def test_the_page_can_be_read_aloud(web):
    text = web.get('/?tree=shop')[2]
    page = Document(text)
    assert text.startswith('<!doctype html>\n<html lang="en">')
    ids = [attributes['id'] for _, attributes in page.elements if 'id' in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in page.elements:
        assert attributes.get('aria-labelledby', 'main') in ids
    for tag, attributes in page.elements:
        if tag == 'img':
            assert 'alt' in attributes
        if tag == 'th':
            assert attributes['scope'] == 'col'
        if attributes.get('class') == 'scroll':
            assert attributes['tabindex'] == '0' and attributes['role'] == 'region'
    assert [tag for tag, _ in page.elements if tag in ('h1', 'main', 'header', 'footer')] == [
        'header', 'main', 'h1', 'footer']


def test_several_trees(directory, shop):
    with Member(directory, 'name=a.b'), Web(directory) as web:
        page = Document(web.get('/')[2])
        links = [(a['href'], a.get('aria-current')) for tag, a in page.elements
                 if tag == 'a' and a['href'].startswith('?')]
        assert links == [('?tree=a.b', 'page'), ('?tree=shop', None)]
        assert [tree['key'] for tree in web.json()['trees']] == ['a.b', 'shop']
        assert [tree['key'] for tree in web.json('/json?tree=shop')['trees']] == ['shop']
    with Member(directory, 'name=a.b'), Web(directory, '--', 'shop') as web:
        assert [tree['key'] for tree in web.json()['trees']] == ['shop']


def test_no_tree(directory):
    with Web(directory) as web:
        status, _, text = web.get('/')
        assert status == 200 and html.escape(str(directory)) in text
        assert web.json()['trees'] == web.json()['not_shown'] == []
        assert web.get('/metrics')[2].endswith('# EOF\n')
        with Member(directory, 'name=later'):
            web.wait_json(lambda report: [tree['key'] for tree in report['trees']] == ['later'])


# ---- JSON ---------------------------------------------------------------------------------------


def shape(value, depth=0):
    """Names and kinds; numbers may differ."""
    if isinstance(value, dict):
        return {name: shape(item) for name, item in value.items()}
    if isinstance(value, list):
        return [shape(item) for item in value[:1]]
    return 'number' if isinstance(value, (int, float)) and not isinstance(value, bool) else value


def test_json_is_what_top_prints_and_more(directory, web):
    look = json.loads(tine(directory, 'top', '--json', '-n', '2', '-d', '1s').stdout.split('\n')[1])
    report = web.wait_json(lambda report: 'per_second' in report['trees'][0])
    tree, = report['trees']
    assert tree.pop('key') == 'shop'
    assert tree.pop('findings')['state'] in ('running', 'done')
    assert re.fullmatch(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z', report['time'])
    look['time'] = report['time']
    assert shape(report) == shape(look)
    assert tree['waits']['buckets'] == [{'below_us': below, 'count': 1}
                                        for below in (128, 1024, 134217728)]
    assert tree['closed']['lost'] == 1


def samples(report):
    history = report['trees'][0]['history']
    return [dict(zip(history['columns'], row)) for row in history['rows']]


def test_the_history_goes_on_by_itself(web, shop):
    assert 'history' not in web.json()['trees'][0]
    report = web.wait_json(lambda report: len(samples(report)) >= 3, '/json?history=0')
    seen = samples(report)
    assert (seen[-1]['budget'], seen[-1]['held'], seen[-1]['busy'], seen[-1]['idle'],
            seen[-1]['waiting']) == (8, 3, 2, 1, 1)
    assert all(800 < b['at_ms'] - a['at_ms'] for a, b in zip(seen, seen[1:]))
    assert seen[-1]['at_ms'] <= report['trees'][0]['history']['now_ms']
    after = '/json?tree=shop&history=%d' % seen[1]['at_ms']
    assert samples(web.json(after))[0] == seen[2]
    shop[0].tell('take')
    web.wait_json(lambda report: samples(report)[-1:] and samples(report)[-1]['held'] == 4, after)


def test_numbers_that_are_none(web):
    for number in ('-1', 'x', '', '1e3', '99999999999999999999', '%00'):
        assert 'history' not in web.json('/json?history=' + number)['trees'][0]
    assert samples(web.json('/json?history=9223372036854775807')) == []


# ---- metrics ------------------------------------------------------------------------------------


def metrics(web):
    """Samples of /metrics as {(name, labels but the pool's): value}, of one tree."""
    families = {family.name: family for family in
                text_string_to_metric_families(web.get('/metrics')[2])}
    found = {}
    for family in families.values():
        assert family.documentation
        for sample in family.samples:
            labels = dict(sample.labels)
            assert labels.pop('pool_name', 'shop') == 'shop'
            key = (sample.name, *sorted(labels.items()))
            assert key not in found
            found[key] = sample.value
    return families, found


def test_metrics(web):
    families, found = metrics(web)
    connection = 'db_client_connection_'
    assert found[connection + 'count', ('state', 'idle')] == 1
    assert found[connection + 'count', ('state', 'used')] == 2
    assert found[connection + 'max',] == 8
    assert found[connection + 'idle_max',] == 8
    assert found[connection + 'pending_requests',] == 1
    assert found[connection + 'timeouts_total', ('worker', '1')] == 1
    assert found[connection + 'timeouts_total', ('worker', '2')] == 0
    assert found['tine_connections_closed_total', ('cause', 'lost'), ('worker', '1')] == 1
    assert found['tine_connects_total', ('worker', '1')] == 1
    assert found['tine_outage', ('target', '0')] == 1
    assert found['tine_processes', ('life', 'alive')] == 2
    assert families[connection + 'timeouts'].type == 'counter'
    assert families[connection + 'wait_time_seconds'].type == 'histogram'
    assert families[connection + 'wait_time_seconds'].unit == 'seconds'
    bucket = connection + 'wait_time_seconds_bucket'
    assert [found[bucket, ('le', le), ('worker', '1')] for le in (
        '6.4e-05', '0.000256', '0.001024', '67.108864', '+Inf')] == [0, 1, 2, 2, 3]


def test_the_documentation_names_every_metric_and_route(web):
    with open(os.path.join(procs.ROOT, 'docs', 'web.md'), encoding='utf-8') as file:
        text = file.read()
    documented = {re.sub('_total$', '', name) for name in
                  re.findall(r'`(db_client_\w+|tine_[a-z]\w+)`', text)} - {'tine_web_new'}
    assert documented == set(metrics(web)[0])
    assert set(re.findall(r'^\| `(/\w*)` \|', text, re.M)) == {'/', '/json', '/metrics', '/health'}
    for link in re.findall(r'\]\(([^)]+)\)', text):
        assert os.path.exists(os.path.join(procs.ROOT, 'docs', link)), link


def test_metrics_of_two_trees_of_one_name(directory, tmp_path, shop):
    # As of two users, seen by root: here the second one's file has another name.
    with open(shop[0].path, 'rb') as file:
        (directory / 'second.board').write_bytes(file.read())
    (directory / 'second.board').chmod(0o600)
    with Web(directory) as web:
        text = web.get('/metrics')[2]
        assert 'pool_name="shop~2"' in text
        seen = [(sample.name, *sorted(sample.labels.items())) for family in
                text_string_to_metric_families(text) for sample in family.samples]
        assert len(seen) == len(set(seen))
        assert web.json('/json?tree=shop~2')['trees'][0]['key'] == 'shop~2'
        assert web.get('/?tree=shop%7E2')[0] == 200


def test_counters_end_with_their_process(directory, web):
    with Member(directory, 'name=shop') as third:
        third.tell('note', 8, 0)
        name = 'db_client_connection_timeouts_total'
        web.wait_json(lambda report: len(report['trees'][0]['processes']) == 3)
        assert metrics(web)[1][name, ('worker', '3')] == 1
    web.wait_json(lambda report: len(report['trees'][0]['processes']) == 2)
    assert (name, ('worker', '3')) not in metrics(web)[1]
