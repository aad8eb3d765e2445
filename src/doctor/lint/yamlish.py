# SPDX-License-Identifier: PostgreSQL
"""A reader for as much of YAML as compose files are written in: block and flow collections, the
three kinds of scalars, block scalars, anchors, aliases and merge keys. Types are not resolved: a
scalar is a text. What it does not know it takes for text.

Every value is a pair (value, line); a value is a dict, a list, a text, or None.
"""
import re

MAX_LINES = 20000
MAX_LINE = 4000
MAX_CONTINUED = 500
MAX_DEPTH = 40

KEY = re.compile(r"""(?P<key>"(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[^\s#\[\]{},&*!|>'"%@`-][^#]*?"""
                 r"""|-[^\s#][^#]*?|<<):(?=\s|\Z)(?P<rest>.*)\Z""")
BLOCK = re.compile(r'[|>][-+\d]*\Z')


class Problem(ValueError):
    """It is not YAML, or more of it than is read here."""


def without_comment(text):
    """The text up to a '#' that starts a comment."""
    quote = ''
    for at, char in enumerate(text):
        if quote:
            quote = '' if char == quote else quote
        elif char in '"\'' and (at == 0 or text[at - 1] in ' [{,:-'):
            quote = char
        elif char == '#' and (at == 0 or text[at - 1] in ' \t'):
            return text[:at].rstrip()
    return text.rstrip()


def unquote(text):
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] == '"':
        return re.sub(r'\\(.)', lambda match: {'n': '\n', 't': '\t'}.get(
            match.group(1), match.group(1)), text[1:-1])
    if len(text) > 1 and text[0] == text[-1] == "'":
        return text[1:-1].replace("''", "'")
    return text


def flow_tokens(text):
    return re.findall(r'"(?:[^"\\]|\\.)*"|\'(?:[^\']|\'\')*\'|[\[\]{},]|:(?=\s)|[^\[\]{},"\':\s]'
                      r'(?:[^\[\]{},:]|:(?!\s))*', text)


class Reader:
    def __init__(self, text):
        lines = text.replace('\t', '    ').splitlines()
        if len(lines) > MAX_LINES:
            raise Problem('more than %d lines' % MAX_LINES)
        if any(len(line) > MAX_LINE for line in lines):
            raise Problem('a line of more than %d characters' % MAX_LINE)
        self.raw = lines
        self.at = 0
        self.anchors = {}
        self.steps = 0

    # ---- lines ----

    def peek(self):
        """(indent, text) of the next line with something on it, or None."""
        while self.at < len(self.raw):
            text = without_comment(self.raw[self.at])
            if text.strip() and text.strip() not in ('---', '...'):
                return len(text) - len(text.lstrip()), text.strip()
            self.at += 1
        return None

    # ---- blocks ----

    def block(self, indent, depth):
        """The collection whose lines have this indent."""
        if depth > MAX_DEPTH:
            raise Problem('nested too deeply')
        line = self.peek()
        if line is None or line[0] < indent:
            return None, self.at + 1
        if line[1] == '-' or line[1].startswith('- '):
            return self.sequence(line[0], depth)
        if KEY.match(line[1]):
            return self.mapping(line[0], depth)
        return self.scalar('', line[0] - 1, depth)

    def mapping(self, indent, depth):
        result, start = {}, self.at + 1
        while True:
            line = self.peek()
            match = KEY.match(line[1]) if line and line[0] == indent else None
            if not match:
                if line and line[0] > indent:
                    raise Problem('line %d: cannot be read' % (self.at + 1))
                return result, start
            key, number = unquote(match.group('key')), self.at + 1
            self.at += 1
            value = self.value(match.group('rest').strip(), indent, depth)
            if key == '<<':
                self.merge(result, value[0])
            else:
                result[key] = (value[0], number)

    def merge(self, result, value):
        for part in value if isinstance(value, list) else [(value, 0)]:
            if isinstance(part[0], dict):
                for key, inner in part[0].items():
                    result.setdefault(key, inner)

    def sequence(self, indent, depth):
        result, start = [], self.at + 1
        while True:
            line = self.peek()
            if not line or line[0] != indent or not (line[1] == '-' or line[1].startswith('- ')):
                return result, start
            rest = line[1][1:].lstrip()
            number = self.at + 1
            if KEY.match(rest) and rest[0] not in '&*[{':
                # The item's first key stands behind the dash.
                column = indent + len(line[1]) - len(rest)
                self.raw[self.at] = ' ' * column + rest
                value = self.mapping(column, depth + 1)
            else:
                self.at += 1
                value = self.value(rest, indent, depth)
            result.append((value[0], number))

    def value(self, rest, indent, depth):
        """What stands behind a key or a dash, and below it."""
        anchor = None
        while rest[:1] in ('&', '!'):
            word, _, rest = rest.partition(' ')
            anchor = word[1:] if word[0] == '&' else anchor
            rest = rest.strip()
        if rest.startswith('*'):
            return self.anchors.get(rest[1:].strip(), (None, self.at))
        if BLOCK.match(rest):
            value = self.literal(rest[0], indent), self.at
        elif rest:
            value = self.scalar(rest, indent, depth)
        else:
            value = self.below(indent, depth)
        if anchor:
            self.anchors[anchor] = value
        return value

    def below(self, indent, depth):
        line = self.peek()
        if line is None or line[0] < indent:
            return None, self.at
        if line[0] == indent:
            dash = line[1] == '-' or line[1].startswith('- ')
            return self.sequence(indent, depth + 1) if dash else (None, self.at)
        return self.block(line[0], depth + 1)

    # ---- scalars ----

    def literal(self, style, indent):
        lines = []
        while self.at < len(self.raw):
            text = self.raw[self.at]
            if text.strip() and len(text) - len(text.lstrip()) <= indent:
                break
            lines.append(text.strip())
            self.at += 1
        return ('\n' if style == '|' else ' ').join(lines).strip()

    def scalar(self, rest, indent, depth):
        """A scalar or flow collection, with the lines that continue it."""
        number = self.at
        parts = [rest] if rest else []
        while True:
            line = self.peek()
            unclosed = parts and parts[0][0] in '[{' and not balanced(' '.join(parts))
            if line is None or (line[0] <= indent and not unclosed):
                break
            parts.append(line[1])
            if len(parts) > MAX_CONTINUED:
                raise Problem('line %d: a text of more than %d lines' % (number, MAX_CONTINUED))
            self.at += 1
        text = ' '.join(parts)
        if text[:1] in ('[', '{'):
            tokens = flow_tokens(text)
            tokens.reverse()
            return self.flow(tokens, depth), number
        return unquote(text), number

    def flow(self, tokens, depth):
        if depth > MAX_DEPTH:
            raise Problem('nested too deeply')
        token = tokens.pop() if tokens else ''
        if token not in ('[', '{'):
            return self.anchors.get(token[1:], (None, 0))[0] if token[:1] == '*' \
                else unquote(token)
        closing = ']' if token == '[' else '}'
        items, result = [], {}
        while tokens and tokens[-1] != closing:
            if tokens[-1] in (',', ':'):
                tokens.pop()
                continue
            item = self.flow(tokens, depth + 1)
            if tokens and tokens[-1] == ':' and token == '{':
                tokens.pop()
                result[str(item)] = (self.flow(tokens, depth + 1), self.at)
            else:
                items.append((item, self.at))
        if tokens:
            tokens.pop()
        return items if token == '[' else result


def balanced(text):
    plain = re.sub(r'"(?:[^"\\]|\\.)*"|\'(?:[^\']|\'\')*\'', '', text)
    return sum(plain.count(char) for char in '[{') <= sum(plain.count(char) for char in ']}')


def read(text):
    """(value, line) of the first document. Raises Problem."""
    reader = Reader(text)
    value = reader.block(0, 0)
    if reader.peek() is not None and reader.raw[reader.at].strip() != '---':
        raise Problem('line %d: cannot be read' % (reader.at + 1))
    return value


def get(node, *path):
    """The value below a pair, (None, 0) where there is none."""
    for key in path:
        node = node[0].get(key, (None, 0)) if isinstance(node[0], dict) else (None, 0)
    return node
