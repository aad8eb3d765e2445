# SPDX-License-Identifier: PostgreSQL
"""The reference service in ways that its functional tests need."""
import re

from support.service import Service

LIMIT = 100000      # of a document, where stored() says so


class Proxied(Service):
    """A service whose way to the database is a proxy."""

    def __init__(self, cluster, folder, proxy, **settings):
        super().__init__(cluster, folder, **settings)
        self._given = {'DATABASE_URL': cluster.url('tls').replace(
            ':%d/' % cluster.port, ':%d/' % proxy.port), **self._given}
        self.proxy = proxy


def stored(cluster, folder, bucket=None):
    """A service with documents in a directory, or in a bucket."""
    env = {'RECORDS_UPLOAD_LIMIT_BYTES': str(LIMIT), 'RECORDS_SETTINGS_CACHE_S': '0'}
    if bucket:
        env.update(RECORDS_STORAGE='s3', RECORDS_S3_URL=bucket.url, RECORDS_S3_KEY=bucket.key,
                   RECORDS_S3_SECRET=bucket.secret, RECORDS_S3_REGION=bucket.region)
    return Service(cluster, folder, workers=2, threads=4, env=env)


def upload(browser, name, data, key=None):
    """By the form of the page."""
    page = browser.get('/documents')
    return browser.upload('/documents', name, data, csrf=page.field('csrf'),
                          key=key or page.field('key'))


def newest(browser):
    """(number, name) of the newest document."""
    return re.search(r'<tr data-id="(\d+)">\s*<td class="name"><a href="[^"]*">(.*?)</a>',
                     browser.get('/documents').text).groups()
