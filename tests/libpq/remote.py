# SPDX-License-Identifier: PostgreSQL
"""The other end of a test: executes the lines of Python that arrive as JSON, each in the same
namespace, and answers with the value of the last expression or with what went wrong."""
import ast
import json
import sys


def execute(text, namespace):
    block = ast.parse(text)
    last = block.body.pop() if isinstance(block.body[-1], ast.Expr) else None
    exec(compile(block, 'test', 'exec'), namespace)
    return eval(compile(ast.Expression(last.value), 'test', 'eval'), namespace) if last else None


def main():
    namespace = {}
    for line in sys.stdin:
        try:
            answer = {'value': execute(json.loads(line), namespace)}
        except Exception as error:
            answer = {'error': '%s: %s' % (type(error).__name__, error)}
        print(json.dumps(answer), flush=True)


if __name__ == '__main__':
    main()
