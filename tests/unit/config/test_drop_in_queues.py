"""`config add-queue` and `remove-queue`: files of jobd's own come and go, what a person wrote stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobd.config.drop_in_queues import add_queue, remove_queue
from jobd.config.load import load
from jobd.config.problems import ConfigProblems
from jobd.errors import NotThere, Refused

TEXT = '[redis]\nurl = "redis://127.0.0.1:6379/0"\n\n[queues.email]\nhandler = "a:b"\n'


@pytest.fixture
def main(tmp_path: Path) -> Path:
    path = tmp_path / "jobd.toml"
    path.write_text(TEXT)
    return path


def test_a_queue_is_added_as_a_drop_in_and_removed_with_it(main: Path) -> None:
    path = add_queue(str(main), "thumbs", {"handler": "shop.images:thumb", "workers": 2, "timeout": "5m"})
    assert path == main.parent / "jobd.d" / "queue-thumbs.toml"
    queue = load(main, env={}).queues["thumbs"]
    assert (queue.handler, queue.workers, queue.timeout_ms) == ("shop.images:thumb", 2, 300_000)
    assert path.read_text().startswith("# Written by `jobd config add-queue`")
    assert remove_queue(str(main), "thumbs") == path
    assert (list(load(main, env={}).queues), list(path.parent.iterdir())) == (["email"], [])


def test_what_a_person_wrote_is_refused_with_its_line(main: Path) -> None:
    for act in (lambda: remove_queue(str(main), "email"), lambda: add_queue(str(main), "email", {"handler": "c:d"})):
        with pytest.raises(Refused, match=r"^jobd\.toml:4: ") as caught:
            act()
        assert caught.value.detail["place"] == "jobd.toml:4"
    assert main.read_text() == TEXT


def test_a_file_of_that_name_without_the_mark_is_a_persons(main: Path) -> None:
    folder = main.parent / "jobd.d"
    folder.mkdir()
    own = folder / "queue-thumbs.toml"
    own.write_text('[queues]\nthumbs = "a:b"\n')
    with pytest.raises(Refused, match=r"jobd\.d/queue-thumbs\.toml:2: "):
        remove_queue(str(main), "thumbs")
    assert own.exists()


def test_a_queue_that_a_person_wrote_more_of_stays_whole(main: Path) -> None:
    path = add_queue(str(main), "thumbs", {"handler": "a:b"})
    other = path.with_name("zz.toml")
    other.write_text('[queues.thumbs]\nhandler = "c:d"\n')
    with pytest.raises(Refused, match=r"jobd\.d/zz\.toml"):
        remove_queue(str(main), "thumbs")
    assert path.exists()


def test_what_would_break_the_configuration_is_not_written(main: Path) -> None:
    for keys in ({"handler": "a:b", "wokers": 2}, {"handler": "nothing"}, {"handler": "a:b", "timeout": "soon"}):
        with pytest.raises(ConfigProblems):
            add_queue(str(main), "thumbs", keys)
    with pytest.raises(ConfigProblems, match="no `:`"):
        add_queue(str(main), "a:b", {"handler": "a:b"})
    assert not list((main.parent / "jobd.d").glob("*"))


def test_a_queue_that_something_else_needs_is_not_removed(main: Path) -> None:
    path = add_queue(str(main), "thumbs", {"handler": "a:b"})
    main.write_text(TEXT + '[schedules.s]\nqueue = "thumbs"\nevery = "5m"\n')
    with pytest.raises(ConfigProblems, match="no queue `thumbs`"):
        remove_queue(str(main), "thumbs")
    assert path.exists()


def test_an_unknown_queue_is_told_with_the_known_ones(main: Path) -> None:
    with pytest.raises(NotThere) as caught:
        remove_queue(str(main), "thumps")
    assert caught.value.known == ("email",)
