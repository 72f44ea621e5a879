"""A strict parser of KTAP version 1, the kernel's test protocol, with nested blocks.

A stream of results is only worth something when its end can be told from its loss, so whatever is
missing is an error: no header, no plan (first or last in its block), fewer results than planned,
numbers out of order, a nested block that its parent never closed, `Bail out!`. Lines that are no
KTAP (logs of the kernel, output of programs) are kept as diagnostics of the next result.

A nested block is indented deeper than its parent and closed by the parent's result line, which
names it. `# Subtest: NAME` inside gives the name beforehand, so that results of a block cut short
still have one.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_HEADER = re.compile(r"KTAP version (\d+)$")
_PLAN = re.compile(r"1\.\.(\d+)(?:\s*#\s*SKIP\b\s*(.*))?$")
_RESULT = re.compile(r"(not )?ok (\d+)(?:\s+(?:-\s+)?(.*))?$")
_DIRECTIVE = re.compile(r"(?:^|\s)#\s*(SKIP|TODO|TIMEOUT|ERROR)\b:?\s*(.*)$")
_SUBTEST = re.compile(r"#\s*Subtest:\s*(\S+)")
_BAIL_OUT = "Bail out!"


class Status(enum.Enum):
    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    #: `not ok ... # TODO`: known to fail
    KNOWN_FAILURE = "known failure"


@dataclass
class Test:
    """One result line, with the nested block that it closes, if any."""

    number: int
    name: str
    status: Status
    reason: str = ""
    diagnostics: list[str] = field(default_factory=list)
    block: Block | None = None


@dataclass
class Block:
    """A header and what follows it at the same indentation."""

    indent: int
    name: str = ""
    plan: int | None = None
    skip_reason: str | None = None
    tests: list[Test] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    #: for a block that no result line has closed yet
    open_child: Block | None = None

    @property
    def all_errors(self) -> Iterator[str]:
        """What is wrong with the stream itself, here and in nested blocks."""
        where = f"in block '{self.name}': " if self.name else ""
        for error in self.errors:
            yield where + error
        for child in [test.block for test in self.tests] + [self.open_child]:
            if child:
                yield from child.all_errors


def _result(match: re.Match[str], diagnostics: list[str]) -> Test:
    failed, number, rest = match[1] is not None, int(match[2]), match[3] or ""
    directive = _DIRECTIVE.search(rest)
    name = (rest[: directive.start()] if directive else rest).strip()
    kind, reason = (directive[1], directive[2].strip()) if directive else ("", "")
    if kind in ("TIMEOUT", "ERROR"):
        status, reason = Status.FAILED, f"{kind} {reason}".strip()
    elif kind == "SKIP":
        status = Status.FAILED if failed else Status.SKIPPED
    elif kind == "TODO":
        status = Status.KNOWN_FAILURE if failed else Status.FAILED
        reason = reason if failed else f"marked TODO but passes: {reason}".rstrip(": ")
    else:
        status = Status.FAILED if failed else Status.PASSED
    return Test(number, name, status, reason, diagnostics)


class _Parser:
    def __init__(self) -> None:
        self.stack: list[Block] = []
        self.diagnostics: list[str] = []
        self.subtest_name = ""
        self.bailed_out = False

    def feed(self, line: str) -> None:
        text = line.strip()
        indent = len(line) - len(line.lstrip(" "))
        if not self.stack and not _HEADER.match(text):
            return  # what comes before the stream: firmware and kernel logs
        if self.bailed_out:
            return
        if match := _HEADER.match(text):
            self._header(indent, int(match[1]))
        elif match := _PLAN.match(text):
            self._plan(indent, int(match[1]), match[2])
        elif match := _RESULT.match(text):
            self._test(indent, match)
        elif text.startswith(_BAIL_OUT):
            self.stack[-1].errors.append(text)
            self.bailed_out = True
        else:
            self._diagnostic(indent, text)

    def _diagnostic(self, indent: int, text: str) -> None:
        if match := _SUBTEST.match(text):
            top = self.stack[-1]
            if indent == top.indent and not top.tests and not top.name and len(self.stack) > 1:
                top.name = match[1]
            else:
                self.subtest_name = match[1]
        elif text:
            self.diagnostics.append(text)

    def _header(self, indent: int, version: int) -> None:
        if self.stack and indent <= self.stack[-1].indent:
            self.stack[-1].errors.append("a second KTAP header at the same or lower indentation")
            return
        block = Block(indent, name=self.subtest_name)
        self.subtest_name = ""
        if version != 1:
            block.errors.append(f"KTAP version {version} is not known")
        if self.stack:
            self.stack[-1].open_child = block
        self.stack.append(block)

    def _plan(self, indent: int, count: int, skip_reason: str | None) -> None:
        block = self.stack[-1]
        if block.indent != indent:
            block.errors.append(f"plan 1..{count} at indentation {indent}, not {block.indent}")
        elif block.plan is not None:
            block.errors.append(f"second plan 1..{count} after 1..{block.plan}")
        else:
            block.plan = count
            block.skip_reason = skip_reason

    def _test(self, indent: int, match: re.Match[str]) -> None:
        closed: Block | None = None
        while len(self.stack) > 1 and self.stack[-1].indent > indent:
            if closed:
                closed.errors.append("closed by a result two levels up")
            closed = self.stack.pop()
        block = self.stack[-1]
        test = _result(match, self.diagnostics)
        self.diagnostics = []
        if block.indent != indent:
            block.errors.append(
                f"result '{match[0]}' at indentation {indent}, not {block.indent}"
            )
            return
        if closed:
            closed.name = test.name
            test.block = closed
            block.open_child = None
            _finish(closed)
        expected = len(block.tests) + 1
        if test.number != expected:
            block.errors.append(f"result '{match[0]}' has number {test.number}, not {expected}")
        block.tests.append(test)


def _finish(block: Block) -> None:
    """Adds the errors that only show at a block's end."""
    count = len(block.tests)
    if block.plan is None:
        block.errors.append("no plan")
    elif block.plan == 0 and block.skip_reason is None:
        block.errors.append("plan of no tests and no reason to skip")
    elif block.plan != count:
        block.errors.append(f"{count} of {block.plan} planned results")
    names = [test.name for test in block.tests]
    for name in sorted({name for name in names if names.count(name) > 1}):
        block.errors.append(f"name '{name}' used twice")
    for test in block.tests:
        if test.block:
            _check_parent(block, test, test.block)


def _check_parent(block: Block, test: Test, child: Block) -> None:
    child_failed = any(nested.status is Status.FAILED for nested in child.tests)
    if test.status is Status.PASSED and child_failed:
        block.errors.append(f"'{test.name}' is ok though a test in it failed")
    if test.status is Status.FAILED and not child_failed and not list(child.all_errors):
        why = "; ".join(test.diagnostics[-3:] + [test.reason]).strip("; ") or "no reason given"
        block.errors.append(f"'{test.name}' failed after its tests passed: {why}")


def parse(text: str) -> Block:
    """The outermost block of `text`. Never raises: what is wrong is in the blocks' errors."""
    parser = _Parser()
    for line in text.splitlines():
        parser.feed(line.rstrip("\r"))
    if not parser.stack:
        return Block(0, errors=["no KTAP header"])
    for depth, block in enumerate(parser.stack):
        if depth > 0:
            block.errors.append("never closed by a result of its parent")
        _finish(block)
    return parser.stack[0]


@dataclass(frozen=True)
class Case:
    """What became of one test case."""

    status: Status
    reason: str = ""
    diagnostics: tuple[str, ...] = ()


def cases(block: Block, prefix: str = "") -> dict[str, Case]:
    """The innermost results by dotted name (`program.case`), those of unclosed blocks included."""
    found: dict[str, Case] = {}
    for test in block.tests:
        name = prefix + test.name
        if test.block:
            found.update(cases(test.block, name + "."))
        else:
            found[name] = Case(test.status, test.reason, tuple(test.diagnostics))
    if block.open_child and block.open_child.name:
        found.update(cases(block.open_child, f"{prefix}{block.open_child.name}."))
    return found
