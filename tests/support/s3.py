# SPDX-License-Identifier: PostgreSQL
"""A bucket for tests: PUT, GET, HEAD and DELETE of objects over plain HTTP, with the signature of
each request verified (AWS signature version 4) from what came over the wire.

    with Bucket() as bucket:
        bucket.url, bucket.key, bucket.secret
        bucket.objects          # name -> bytes

As the real ones do, it answers 204 to the deletion of what is not there.
"""
import hashlib
import hmac
import http.server
import secrets
import threading
import urllib.parse

EMPTY = hashlib.sha256(b'').hexdigest()


def _hmac(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def signature(secret, method, path, headers, signed, amz_date, scope, payload_hash):
    """The signature that a request should have. headers: lower-case names."""
    parts = urllib.parse.urlsplit(path)
    query = '&'.join(sorted(parts.query.split('&'))) if parts.query else ''
    canonical = '\n'.join([
        method, parts.path, query,
        *('%s:%s' % (name, ' '.join(headers[name].split())) for name in signed), '',
        ';'.join(signed), payload_hash])
    text = '\n'.join(['AWS4-HMAC-SHA256', amz_date, scope,
                      hashlib.sha256(canonical.encode()).hexdigest()])
    key = ('AWS4' + secret).encode()
    for part in scope.split('/'):
        key = _hmac(key, part)
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


class Bucket:
    """Attributes: url, key, secret, region, objects, requests (method, path, status), fails: a
    status to answer everything with, or None."""

    region = 'eu-test-1'

    def __init__(self):
        self.key, self.secret = 'AKIATEST', secrets.token_urlsafe(24)
        self.objects, self.requests, self.fails = {}, [], None
        self._server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self.url = 'http://127.0.0.1:%d/bucket' % self._server.server_port

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exc):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _verify(self, request, body):
        """What is wrong with a request; None when nothing is."""
        headers = {name.lower(): value for name, value in request.headers.items()}
        scheme, _, rest = headers.get('authorization', '').partition(' ')
        if scheme != 'AWS4-HMAC-SHA256':
            return 'no signature'
        fields = dict(part.strip().split('=', 1) for part in rest.split(','))
        key, _, scope = fields['Credential'].partition('/')
        signed = fields['SignedHeaders'].split(';')
        payload_hash = headers.get('x-amz-content-sha256', EMPTY)
        if key != self.key or scope.split('/')[1:] != [self.region, 's3', 'aws4_request']:
            return 'not for this bucket: %s %s' % (key, scope)
        if 'host' not in signed or 'x-amz-date' not in signed:
            return 'host and date are not signed'
        if hashlib.sha256(body).hexdigest() != payload_hash:
            return 'the body is not what was signed'
        good = signature(self.secret, request.command, request.path, headers, signed,
                         headers['x-amz-date'], scope, payload_hash)
        return None if hmac.compare_digest(good, fields['Signature']) else 'a wrong signature'

    def _answer(self, method, name, body):
        """(status, body)"""
        if method == 'PUT':
            self.objects[name] = body
            return 200, b''
        if method == 'DELETE':
            self.objects.pop(name, None)
            return 204, b''
        if name not in self.objects:
            return 404, b'<Error><Code>NoSuchKey</Code></Error>'
        return 200, self.objects[name]

    def _handler(self):
        bucket = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = 'HTTP/1.1'

            def _serve(self):
                body = self.rfile.read(int(self.headers.get('Content-Length') or 0))
                wrong = bucket._verify(self, body)
                if bucket.fails:
                    status, answer = bucket.fails, b''
                elif wrong or not self.path.startswith('/bucket/'):
                    status, answer = 403, (wrong or 'no such bucket').encode()
                else:
                    status, answer = bucket._answer(self.command, self.path[len('/bucket/'):],
                                                    body)
                bucket.requests.append((self.command, self.path, status))
                self.send_response(status)
                if status != 204:
                    self.send_header('Content-Length', str(len(answer)))
                self.end_headers()
                if self.command != 'HEAD' and status != 204:
                    self.wfile.write(answer)

            do_GET = do_PUT = do_HEAD = do_DELETE = _serve

            def log_message(self, *args):
                pass

        return Handler
