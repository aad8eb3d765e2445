# SPDX-License-Identifier: PostgreSQL
"""A headless Chromium in a test, by chromedriver: what the page shows, what its console says.

    with Browser(tmp_path) as browser:
        browser.open(url)
        browser.wait(lambda: browser.text('#live') == 'live')
        browser.screenshot('wide')
        assert browser.problems() == []
"""
import base64
import os
import shutil
import signal

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains

from support import procs

PROGRAMS = '/usr/bin/chromium', '/usr/bin/chromedriver'
FLAGS = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
         '--disable-background-networking', '--disable-component-update', '--disable-sync',
         '--disable-dev-shm-usage']
# Kept when the tests are done.
SCREENSHOTS = os.path.join(os.path.dirname(procs.tine_path()) + '-results', 'screenshots')


def missing():
    """What is not installed, or None."""
    return next((path for path in PROGRAMS if not shutil.which(path)), None)


class Browser:
    """One window. folder is for its profile."""

    def __init__(self, folder):
        self._folder = folder
        self._driver = self._guard = None

    def __enter__(self):
        options = Options()
        options.binary_location = PROGRAMS[0]
        for flag in [*FLAGS, '--user-data-dir=%s' % self._folder]:
            options.add_argument(flag)
        options.set_capability('goog:loggingPrefs', {'browser': 'ALL'})
        with procs.signals_later():
            self._driver = webdriver.Chrome(options=options, service=Service(PROGRAMS[1]))
            # When this process is killed, they are too.
            self._guard = procs.Guard('kill -s KILL "$1" "$2"', self._driver.service.process.pid,
                                      self._driver.capabilities['goog:processID'])
        self._driver.set_page_load_timeout(60)
        self._driver.set_script_timeout(60)
        return self

    def __exit__(self, *exc):
        pid = self._driver.capabilities['goog:processID']
        try:
            self._driver.quit()
        finally:
            if os.path.exists('/proc/%d' % pid):
                os.kill(pid, signal.SIGKILL)
            self._guard.disarm()

    @property
    def driver(self):
        return self._driver

    def cdp(self, command, **arguments):
        return self._driver.execute_cdp_cmd(command, arguments)

    def open(self, url):
        self._driver.get(url)

    def run(self, script, *arguments):
        """The value of a JavaScript expression; arguments[0] and so on are those given."""
        return self._driver.execute_script('return ' + script, *arguments)

    def text(self, selector):
        """Of the first element; None when there is none."""
        return self.run('document.querySelector(arguments[0])?.textContent ?? null', selector)

    def wait(self, condition, timeout=60):
        return procs.wait_until(condition, timeout)

    def keys(self, *keys):
        ActionChains(self._driver).send_keys(*keys).perform()

    def emulate(self, width=1280, height=900, mobile=False, **features):
        """Another screen; features such as prefers_color_scheme='dark'."""
        self.cdp('Emulation.setDeviceMetricsOverride', width=width, height=height,
                 deviceScaleFactor=1, mobile=mobile)
        self.cdp('Emulation.setEmulatedMedia', features=[
            {'name': name.replace('_', '-'), 'value': value} for name, value in features.items()])

    def screenshot(self, name, most=4000):
        """The whole page, kept as NAME.png."""
        size = self.run('[innerWidth, document.documentElement.scrollHeight]')
        os.makedirs(SCREENSHOTS, exist_ok=True)
        answer = self.cdp('Page.captureScreenshot', captureBeyondViewport=True, clip={
            'x': 0, 'y': 0, 'width': size[0], 'height': min(size[1], most), 'scale': 1})
        with open(os.path.join(SCREENSHOTS, name + '.png'), 'wb') as file:
            file.write(base64.b64decode(answer['data']))

    def problems(self):
        """What the console says since the last call: violations of the policy, errors, all."""
        return [entry['message'] for entry in self._driver.get_log('browser')]
