"""pytest glue: makes each KTAP case of a job (harness.jobs) a pytest item of its own.

A function of a test module with the attribute `gives_ktap_items` returns jobs. Their cases stand in
its place in the collection, named like `guest[sv39-user-1].mmap.map_fixed_replaces`. All jobs that
have a selected case run first, two at a time, with a line of progress each; then the items only
look up what became of them.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from harness import debian, jobs, process  # noqa: E402

_RUNNER = pytest.StashKey["Runner"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("pagoda")
    group.addoption("--build-dir", default="build", help="where make put its outputs")
    group.addoption("--seed", type=int, default=1, help="seed of tests that use randomness")
    group.addoption("--linux", action="store_true", help="also on a real Linux kernel")
    group.addoption("--programs", action="store_true", help="Debian's programs, which it downloads")
    group.addoption("--icount", action="store_true", help="boot with exact instruction counting")


class Runner:
    """Runs each job at most once, for the cases of it that are selected."""

    def __init__(self, report: Callable[[str], None]) -> None:
        self.report = report
        self.selected: dict[str, set[str]] = {}
        self.known: dict[str, jobs.Job] = {}
        self.outcomes: dict[str, jobs.Outcome] = {}
        self.lock = threading.Lock()

    def select(self, job: jobs.Job, case: str) -> None:
        self.known[job.name] = job
        self.selected.setdefault(job.name, set()).add(case)

    def outcome(self, job: jobs.Job) -> jobs.Outcome:
        with self.lock:
            if job.name not in self.outcomes:
                self.outcomes[job.name] = job.run(self.selected[job.name])
            return self.outcomes[job.name]

    def run_all(self) -> None:
        """Runs what is selected and reports progress. An interrupt stops what is under way."""
        order = sorted(self.selected, key=lambda name: self.known[name].long, reverse=True)
        with ThreadPoolExecutor(jobs.default_parallel()) as pool:
            futures: dict[Future[jobs.Outcome], str] = {
                pool.submit(self.known[name].run, self.selected[name]): name for name in order
            }
            try:
                for number, future in enumerate(as_completed(futures), start=1):
                    name = futures[future]
                    self.outcomes[name] = future.result()
                    summary = _summary(self.outcomes[name])
                    self.report(f"[{number}/{len(futures)}] {name}: {summary}")
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                process.stop_all()
                raise


def _summary(outcome: jobs.Outcome) -> str:
    failed = [name for name, case in outcome.cases.items() if case.status.value == "failed"]
    text = f"{len(outcome.cases)} cases, {outcome.seconds:.1f} s"
    if failed:
        text += f", {len(failed)} FAILED"
    if outcome.problems:
        text += f", PROBLEM: {outcome.problems[0]}"
    return text


class KtapItem(pytest.Item):
    """One case of a job."""

    def __init__(self, *, job: jobs.Job, case: str, **rest: Any) -> None:
        super().__init__(**rest)
        self.job = job
        self.case = case

    def runtest(self) -> None:
        runner = self.config.stash[_RUNNER]
        outcome = runner.outcome(self.job)
        try:
            jobs.judge(outcome, self.case, selected=runner.selected[self.job.name])
        except jobs.CaseSkipped as skipped:
            pytest.skip(str(skipped))
        except jobs.CaseKnownToFail as known:
            pytest.xfail(str(known))

    def repr_failure(self, excinfo: Any, style: Any = None) -> Any:
        if isinstance(excinfo.value, jobs.CaseFailed):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return self.path, None, self.name


class NotBuiltItem(pytest.Item):
    """Stands for programs that should have been built: fails, so that none is missed silently."""

    def __init__(self, *, reason: str, **rest: Any) -> None:
        super().__init__(**rest)
        self.reason = reason

    def runtest(self) -> None:
        raise jobs.CaseFailed(self.reason)

    def repr_failure(self, excinfo: Any, style: Any = None) -> Any:
        return str(excinfo.value)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return self.path, None, self.name


def _items(collector: pytest.Collector, function: Any) -> Iterator[pytest.Item]:
    try:
        found: list[jobs.Job] = function(collector.config)
    except (jobs.NotBuilt, debian.Unobtainable, ValueError) as error:
        name = f"{function.__name__}.programs_are_built"
        yield NotBuiltItem.from_parent(collector, name=name, reason=str(error))
        return
    for job in found:
        for case in (*job.names, jobs.WHOLE):
            yield KtapItem.from_parent(collector, name=f"{job.name}.{case}", job=job, case=case)


def pytest_pycollect_makeitem(
    collector: pytest.Collector, name: str, obj: object
) -> list[pytest.Item] | None:
    if getattr(obj, "gives_ktap_items", False):
        return list(_items(collector, obj))
    return None


def pytest_configure(config: pytest.Config) -> None:
    # Output is not captured at this point, so this is the real stderr.
    stderr = os.fdopen(os.dup(2), "w")

    def report(line: str) -> None:
        print(line, file=stderr, flush=True)

    config.stash[_RUNNER] = Runner(report)


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    """Runs the jobs of all selected items before the first item."""
    if session.config.option.collectonly or session.testsfailed:
        return
    runner = session.config.stash[_RUNNER]
    for item in session.items:
        if isinstance(item, KtapItem):
            runner.select(item.job, item.case)
    runner.run_all()


@pytest.fixture
def build_dir(request: pytest.FixtureRequest) -> Path:
    """Where make put its outputs."""
    return ROOT / str(request.config.getoption("--build-dir"))


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """The seed of this session, for tests that use randomness."""
    return int(request.config.getoption("--seed"))
