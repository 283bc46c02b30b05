"""Which template forks: started again when it is killed, shared by its queues, replaced, retired. No process runs."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest

from jobd.config.load import load
from jobd.config.model import Config
from jobd.daemon.processes import template_store as module
from jobd.daemon.processes.template_process import TemplateDied, TemplateError
from jobd.daemon.processes.template_store import START_TRIES, TemplateStore
from jobd.daemon.processes.worker_spec import TemplateKey, template_key
from jobd.protocol.worker import HandlerReport, HandlerUse, Load, Loaded

T = TypeVar("T")

TWO_QUEUES = '[queues]\na = "m:f"\nb = "m:g"\n'


class Template:
    """Loads what it is told to; ends as a test says."""

    made: list[Template]
    fails: list[Exception]
    unsafe: str | None
    files: dict[str, int]
    broken: set[str]

    def __init__(self, key: TemplateKey, wanted: Load, environment: dict[str, str]) -> None:
        self.key, self.wanted, self.environment = key, wanted, environment
        self.pid, self.alive, self.retired, self.stuck = 0, False, False, False
        Template.made.append(self)

    @property
    def usable(self) -> bool:
        return self.alive and not self.stuck

    async def start(self) -> Loaded:
        self.pid, self.alive = 100 + len(Template.made), True
        await asyncio.sleep(0)
        if Template.fails:
            self.alive = False
            raise Template.fails.pop(0)
        uses = [*self.wanted.handlers, *map(HandlerUse, self.wanted.extras)]
        reports = [
            HandlerReport(use.path, use.path not in Template.broken, wanted=use.mode, batch=use.batch) for use in uses
        ]
        return Loaded("1", 1, self.pid, reports, Template.unsafe, [], dict(Template.files))

    async def stop(self) -> None:
        self.alive = False

    def retire(self) -> None:
        self.retired = True


@pytest.fixture(autouse=True)
def _no_processes(monkeypatch):
    Template.made, Template.fails, Template.unsafe, Template.files, Template.broken = [], [], None, {}, set()
    monkeypatch.setattr(module, "Template", Template)


class World:
    """A store and the file of its queues."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "jobd.toml"
        self.store = TemplateStore({})
        self.write(TWO_QUEUES)

    def write(self, text: str) -> Config:
        self.path.write_text('[redis]\nurl = "redis://127.0.0.1:6379/0"\n' + text)
        self.config = load(self.path, env={})
        return self.config

    @property
    def key(self) -> TemplateKey:
        return template_key(self.config.queues["a"])

    @property
    def queues(self) -> list[Any]:
        return list(self.config.queues.values())

    async def get(self) -> Any:
        return await self.store.get(self.config, self.key, self.queues)

    async def make(self) -> Any:
        return await self.store.make(self.config, self.key, self.queues)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


async def together(*work: Coroutine[Any, Any, T]) -> list[T]:
    return await asyncio.gather(*work)


def died() -> TemplateDied:
    return TemplateDied("signal 9", [])


def test_workers_that_start_together_wait_for_one_template(world):
    first, second = run(together(world.get(), world.get()))
    assert first is second
    assert len(Template.made) == 1
    assert [use.path for use in first.wanted.handlers] == ["m:f", "m:g"]


@pytest.mark.parametrize("fault", ["dead", "stuck"])
def test_a_template_that_cannot_fork_is_replaced_and_keeps_its_workers(world, fault):
    async def work() -> tuple[Any, Any]:
        first = await world.get()
        if fault == "dead":
            first.alive = False
        else:
            first.stuck = True
        return first, await world.get()

    first, second = run(work())
    assert first is not second
    assert (first.retired, second.retired) == (True, False)
    assert first.alive is (fault == "stuck")


# --- starts ----------------------------------------------------------------------------------------------------------


def test_a_template_that_is_killed_while_it_loads_is_started_again(world):
    Template.fails = [died() for _ in range(START_TRIES - 1)]
    assert run(world.get()).alive
    assert len(Template.made) == START_TRIES
    assert not world.store.is_loading


def test_imports_that_always_crash_are_told(world):
    Template.fails = [died() for _ in range(START_TRIES)]
    with pytest.raises(TemplateDied):
        run(world.get())
    assert len(Template.made) == START_TRIES
    assert world.store.pids() == set()
    assert not world.store.is_loading


def test_what_starting_again_does_not_mend_is_not_tried_again(world):
    Template.fails = [TemplateError("another version of jobd", [])]
    with pytest.raises(TemplateError):
        run(world.get())
    assert len(Template.made) == 1
    assert not world.store.is_loading


def test_a_template_that_dies_because_the_daemon_stops_is_not_started_again(world):
    Template.fails = [died(), died()]

    async def work() -> None:
        starting = asyncio.ensure_future(world.get())
        await asyncio.sleep(0)
        assert world.store.is_loading
        await world.store.stop()
        with pytest.raises(TemplateDied):
            await starting

    run(work())
    assert len(Template.made) == 1


def test_where_forking_after_the_imports_is_not_safe_a_bare_template_forks_and_the_reports_stay(world):
    Template.unsafe = "a thread runs"
    loading = run(world.make())
    imported, bare = Template.made
    assert loading.template is bare
    assert (imported.alive, bare.alive) == (False, True)
    assert bare.wanted.handlers == []
    assert [report.path for report in loading.reports] == ["m:f", "m:g"]


def test_without_preload_the_imports_are_tried_in_a_process_that_is_thrown_away(world):
    world.write('[queues.a]\nhandler = "m:f"\npreload = false\n')
    loading = run(world.make())
    imported, bare = Template.made
    assert [use.path for use in imported.wanted.handlers] == ["m:f"]
    assert (imported.alive, loading.template, bare.wanted.handlers) == (False, bare, [])


# --- in use ----------------------------------------------------------------------------------------------------------


def test_what_was_made_forks_only_once_it_is_installed_and_the_one_before_retires(world):
    async def work() -> None:
        before = await world.get()
        loading = await world.make()
        assert await world.get() is before
        world.store.install(loading)
        assert await world.get() is loading.template
        assert (before.retired, loading.template.retired) == (True, False)
        world.store.install(loading)
        assert not loading.template.retired

    run(work())


def test_what_is_not_going_to_be_used_ends_and_changes_nothing(world):
    async def work() -> None:
        before = await world.get()
        loading = await world.make()
        await world.store.discard(loading)
        assert (loading.template.alive, before.alive, before.retired) == (False, True, False)
        assert world.store.pids() == {before.pid}

    run(work())


def test_a_template_has_what_it_imported_in_the_way_it_is_wanted(world):
    Template.broken = {"m:g"}
    assert not world.store.has(world.key, world.queues)
    template = run(world.get())
    a, b = world.queues
    assert world.store.has(world.key, [a])
    assert not world.store.has(world.key, [a, b])  # its import failed
    more = world.write('[queues.a]\nhandler = "m:f"\nsetup = "m:setup"\n').queues["a"]
    assert not world.store.has(world.key, [more])
    batch = world.write('[queues.a]\nhandler = "m:f"\nbatch = { max = 5 }\n').queues["a"]
    assert not world.store.has(world.key, [batch])
    template.stuck = True
    assert not world.store.has(template_key(a), [a])


def test_a_template_that_imported_a_handler_for_batches_has_it_for_batches(world):
    queue = world.write('[queues.a]\nhandler = "m:f"\nbatch = { max = 5 }\nmode = "thread"\n').queues["a"]
    run(world.get())
    assert world.store.has(world.key, [queue])


def test_templates_that_no_queue_needs_retire_and_those_of_the_others_stay(world):
    async def work() -> None:
        first = await world.get()
        key = world.key
        world.write('[queues.a]\nhandler = "m:f"\nenv = { A = "1" }\n')
        second = await world.get()
        world.store.retire_others([world.key])
        assert (first.retired, second.retired) == (True, False)
        world.store.retire_others([])
        assert second.retired
        assert key != world.key
        assert world.store.pids() == {first.pid, second.pid}  # until their last workers have ended

    run(work())


def test_the_pids_are_those_of_templates_that_live(world):
    async def work() -> None:
        first = await world.get()
        first.alive = False
        second = await world.get()
        assert world.store.pids() == {second.pid}
        await world.store.stop()
        assert not second.alive
        assert world.store.pids() == set()

    run(work())


# --- files -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def imported(world: World, tmp_path: Path) -> Path:
    """A file that the current template has imported, through a symlink to the folder of a release."""
    for release in ("one", "two"):
        (tmp_path / release).mkdir()
        (tmp_path / release / "m.py").write_text("x = 1")
        os.utime(tmp_path / release / "m.py", ns=(5, 5))
    (tmp_path / "current").symlink_to("one")
    path = tmp_path / "current" / "m.py"
    Template.files = {str(path): path.stat().st_mtime_ns}
    run(world.get())
    return path


def test_files_as_they_were_imported_have_not_changed(world, imported):
    assert world.store.imported_files() == {str(imported)}
    assert world.store.changed_files() == []


def test_a_file_written_or_removed_since_has_changed(world, imported):
    os.utime(imported, ns=(6, 6))
    assert world.store.changed_files() == [str(imported)]
    imported.unlink()
    assert world.store.changed_files() == [str(imported)]


def test_a_symlink_flipped_to_a_file_of_the_same_age_has_changed_it(world, imported, tmp_path):
    (tmp_path / "fresh").symlink_to("two")
    (tmp_path / "fresh").replace(tmp_path / "current")
    assert imported.stat().st_mtime_ns == 5
    assert world.store.changed_files() == [str(imported)]


def test_nothing_is_kept_of_templates_that_no_queue_needs(world):
    async def work() -> None:
        for number in range(5):
            world.write(TWO_QUEUES + f'[app]\nenv = {{ N = "{number}" }}\n')
            await world.get()
            world.store.retire_others([world.key])

    run(work())
    assert [template.retired for template in Template.made] == [True] * 4 + [False]
    assert len(world.store._locks) == len(world.store._current) == 1


def test_a_lock_that_somebody_waits_for_is_kept(world):
    async def work() -> None:
        waiting = asyncio.create_task(world.get())
        await asyncio.sleep(0)
        world.store.retire_others([])
        await together(waiting, world.get())

    run(work())
    assert len(Template.made) == 1
