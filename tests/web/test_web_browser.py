# SPDX-License-Identifier: PostgreSQL
"""The page in a real browser: live, drawn, within its policy, for phones, at night, by keyboard."""
import re

import pytest

from support import browser as browsers
from support.board import BUSY, Member
from webtools import Document, Web

IDLE = 2
OPENED = 4
TAB, ARROW_LEFT, ESCAPE, SPACE = '\ue004', '\ue012', '\ue00c', ' '
PHONE = {'width': 390, 'height': 844, 'mobile': True}


@pytest.fixture(scope='module')
def browser(tmp_path_factory):
    if browsers.missing():
        pytest.skip('%s is not installed' % browsers.missing())
    with browsers.Browser(tmp_path_factory.mktemp('profile')) as window:
        yield window


@pytest.fixture
def page(browser, web):
    """The page of the shop, live; it ends with nothing in the console."""
    # That of the test before asks a server that is gone.
    browser.open('about:blank')
    browser.problems()
    browser.emulate()
    browser.cdp('Emulation.setScriptExecutionDisabled', value=False)
    browser.open(web.url + '?tree=shop')
    browser.wait(lambda: browser.text('#live') == 'live')
    yield browser
    browser.emulate()
    assert browser.problems() == []


def table(browser, name):
    return browser.run('[...document.getElementById(arguments[0]).rows].map('
                       'row => [...row.cells].map(cell => cell.textContent))', name)


# ---- live ---------------------------------------------------------------------------------------


def test_it_is_live(page, shop, directory):
    first, _ = shop
    assert page.text('#now-held') == '3' and page.text('#now-busy') == '2'
    first.tell('seat', first.tell('take'), BUSY, 0, 777, 'PUT /basket')
    page.wait(lambda: page.text('#now-held') == '4' and page.text('#now-busy') == '3')
    page.wait(lambda: 'PUT /basket' in [row[5] for row in table(page, 'connections')])
    first.tell('recovered', 0)
    page.wait(lambda: page.text('#outages').strip() == '')
    first.tell('failed', 0, -10, 1, 9000, 'away again')
    page.wait(lambda: 'SQLSTATE 57P03: away again' in page.text('#outages'))
    with Member(directory, 'name=shop', 'application=late'):
        page.wait(lambda: [row[4] for row in table(page, 'processes')][-1] == 'late')
    page.wait(lambda: len(table(page, 'processes')) == 3)


def test_the_script_writes_the_tables_that_the_server_wrote(page, web):
    """Ages apart, which go on."""
    def still(rows):
        return [[re.sub(r'^(\d+m)?[\d.]+m?s$|^\d+h\d+m$', 'age', cell) for cell in row]
                for row in rows]
    shown = page.run('[...document.querySelectorAll("table")].map(table => table.id)')
    page.wait(lambda: len(table(page, 'events')) > 3)
    served = Document(web.get('/?tree=shop')[2]).tables
    assert set(shown) == set(served)
    for name in shown:
        assert still(table(page, name)) == still(served[name]), name
    classes = '[...document.querySelectorAll("tbody td")].map(cell => cell.className).join()'
    now = page.run(classes)
    page.cdp('Emulation.setScriptExecutionDisabled', value=True)
    page.open(web.url + '?tree=shop')
    assert page.run(classes) == now
    page.cdp('Emulation.setScriptExecutionDisabled', value=False)


def test_plots_are_drawn(page, shop):
    def area(name):
        return page.run('((node) => node && [node.getBBox().width, node.getBBox().height])'
                        '(document.querySelector(arguments[0]))', name)
    page.wait(lambda: (area('#use-plot .area.busy') or [0])[0] > 5)
    assert area('#use-plot .area.busy')[1] > 10 and area('#use-plot .area.idle')[1] > 5
    assert area('#use-plot .line.budget')[0] > 5
    page.wait(lambda: (area('#waiting-plot .line.waiting') or [0])[0] > 5)
    shop[0].tell('note', OPENED, 0)
    page.wait(lambda: (area('#rates-plot .line.opened') or [0, 0])[1] > 10)
    assert '3 held: 2 busy, 1 idle; budget 8' == page.text('#use-says')
    assert page.run('document.querySelector("#use-plot svg").getAttribute("aria-label")') == \
        'Connections: 3 held: 2 busy, 1 idle; budget 8'


def test_a_fresh_page_has_the_past(page, web):
    page.wait(lambda: web.json('/json?history=0')['trees'][0]['history']['rows'][5:])
    page.open(web.url + '?tree=shop')
    page.wait(lambda: page.text('#live') == 'live')
    assert page.run('samples.length') >= 5


def test_its_console_is_watched(browser, web):
    """What the other tests do not find there would be found."""
    browser.open(web.url + '?tree=shop')
    browser.problems()
    browser.run('document.body.setAttribute("style", "color: red")')
    browser.run('document.body.append(Object.assign(document.createElement("script"), '
                '{textContent: "window.harmed = 1"}))')
    assert browser.run('window.harmed ?? 0') == 0
    browser.wait(lambda: sum('Content Security Policy' in line for line in browser.problems()) >= 1)


def test_nothing_foreign_is_run(page):
    page.wait(lambda: '"><img src=x>' in [row[5] for row in table(page, 'connections')])
    assert page.run('[document.images.length, document.scripts.length]') == [1, 1]
    assert page.run('document.querySelector("main i, main u, td b, td script")') is None
    assert 'down </p><script>x</script>' in page.text('#outages')


def test_the_server_goes_away_and_the_tree_ends(page, web, shop):
    for member in shop:
        member.stop()
    page.wait(lambda: page.text('#live') == 'this tree has ended')
    web.proc.stop()
    page.wait(lambda: page.text('#live') == 'no answer; what is shown is old')
    assert any('ERR_CONNECTION_REFUSED' in line or '404' in line for line in page.problems())


# ---- for everybody ------------------------------------------------------------------------------


def test_by_keyboard(page):
    def focused():
        return page.run('[document.activeElement.tagName, document.activeElement.id || '
                        'document.activeElement.className || document.activeElement.textContent]')
    page.run('document.activeElement.blur()')
    seen = []
    for _ in range(14):
        page.keys(TAB)
        seen.append(focused())
        outline = page.run('getComputedStyle(document.activeElement).outlineStyle')
        assert outline != 'none', seen
    assert seen[0] == ['A', 'skip'] and ['BUTTON', 'pause'] in seen
    assert [name for _, name in seen if name.endswith('-plot')] == [
        'use-plot', 'waiting-plot', 'rates-plot']
    assert ['DIV', 'scroll'] in seen
    page.wait(lambda: page.run('samples.length') > 2)
    page.run('document.getElementById("use-plot").focus()')
    page.keys(ARROW_LEFT)
    assert re.match(r'\d+:\d\d:\d\d: 3 held', page.text('#use-says'))
    assert page.run('document.querySelectorAll(".cursor").length') == 3
    page.keys(ESCAPE)
    assert page.text('#use-says').startswith('3 held')
    page.run('document.getElementById("pause").focus()')
    page.keys(SPACE)
    assert (page.text('#pause'), page.text('#live')) == ('Resume', 'paused')
    page.keys(SPACE)
    page.wait(lambda: page.text('#live') == 'live')


CONTRASTS = '''(() => {
    const parse = (text) => text.match(/[\\d.]+/g).map(Number);
    const light = ([r, g, b]) => [r, g, b].map((v) => v / 255).map((v) =>
        v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
    const ground = (node) => {
        for (; node; node = node.parentElement) {
            const colour = parse(getComputedStyle(node).backgroundColor);
            if (colour.length < 4 || colour[3] > 0) return colour;
        }
        return [255, 255, 255];
    };
    const found = [];
    for (const node of document.querySelectorAll('body *')) {
        const style = getComputedStyle(node);
        const own = [...node.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
        if (!own || !node.getClientRects().length || node.closest('.skip')) continue;
        const colour = node instanceof SVGElement ? style.fill : style.color;
        const [a, b] = [light(parse(colour)), light(ground(node))];
        const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        if (ratio < 4.5) found.push([node.tagName, node.className, node.textContent, ratio]);
    }
    return found;
})()'''


@pytest.mark.parametrize('scheme', ['light', 'dark'])
def test_contrast(page, scheme):
    page.emulate(prefers_color_scheme=scheme, prefers_reduced_motion='reduce')
    page.wait(lambda: page.run('document.querySelectorAll("#use-plot .tick").length') > 3)
    ground = page.run('getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)')
    assert (sum(ground) < 150) == (scheme == 'dark')
    assert page.run(CONTRASTS) == []


def test_nothing_moves_for_who_does_not_want_it(page):
    page.emulate(prefers_reduced_motion='reduce')
    assert page.run('[...document.querySelectorAll("*")].filter((node) => '
                    'getComputedStyle(node).transitionDuration !== "0s" || '
                    'getComputedStyle(node).animationName !== "none").length') == 0


@pytest.mark.parametrize('width', [320, 390, 768, 1280])
def test_no_width_is_too_narrow(page, width):
    page.emulate(width=width, mobile=width < 500)
    page.wait(lambda: abs(page.run('document.querySelector("#use-plot svg").clientWidth') -
                          page.run('document.querySelector("#use-plot").clientWidth')) < 3)
    assert page.run('document.documentElement.scrollWidth') <= width


def test_without_a_script(browser, web):
    browser.emulate(**PHONE)
    browser.cdp('Emulation.setScriptExecutionDisabled', value=True)
    browser.open(web.url + '?tree=shop')
    assert 'need JavaScript' in browser.run('document.querySelector("noscript").innerText')
    assert len(table(browser, 'connections')) == 4
    browser.screenshot('web-without-script-phone')
    browser.cdp('Emulation.setScriptExecutionDisabled', value=False)


# ---- pictures, for people -----------------------------------------------------------------------


def play(members, rounds):
    """Some traffic, always the same."""
    held = []
    for i in range(rounds):
        member = members[i % len(members)]
        permit = member.tell('take') if i % 5 else -1
        if permit >= 0:
            member.tell('note', OPENED, 0)
            member.tell('seat', permit, BUSY if i % 3 else IDLE, i % 2, 5000 + i,
                        ('GET /', 'POST /order', 'job:mail')[i % 3])
            held.append((member, permit))
        elif held:
            member.tell('waited', 300 * (i + 1) ** 2)
            owner, permit = held.pop(0)
            owner.tell('give', permit, 0)
            owner.tell('note', 5, (0, 1, 2, 3, 3, 13)[i % 6])


def test_pictures(browser, directory):
    with Member(directory, 'name=shop', 'budget=12', 'application=gunicorn shop') as one, \
            Member(directory, 'name=shop', 'application=celery orders') as two, \
            Member(directory, 'name=reports', 'budget=4') as other, Web(directory) as web:
        other.tell('take')
        browser.emulate()
        browser.open(web.url + '?tree=shop')
        for i in range(6):
            play([one, two], 5 + i % 4)
            at = browser.run('samples.length')
            browser.wait(lambda: browser.run('samples.length') > at)
        two.tell('enter')
        browser.wait(lambda: browser.text('#now-waiting') == '1')
        browser.wait(lambda: 'examined' in browser.text('#findings-state'))
        for name, screen in (('web-wide', {}), ('web-wide-dark', {'prefers_color_scheme': 'dark'}),
                             ('web-phone', PHONE),
                             ('web-phone-dark', {**PHONE, 'prefers_color_scheme': 'dark'})):
            browser.emulate(**screen)
            browser.wait(lambda: abs(browser.run(
                'document.querySelector("#use-plot svg").clientWidth - '
                'document.querySelector("#use-plot").clientWidth')) < 3)
            browser.screenshot(name)
        browser.emulate()

