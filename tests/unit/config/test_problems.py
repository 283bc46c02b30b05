"""How mistakes are told: all at once, each with its place, the line, a caret, the nearest name."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobd.config.load import load
from jobd.config.problems import ConfigProblems, Problem, render_problems

FIXTURES = Path(__file__).parents[3] / "tests/fixtures/config"
REDIS = '[redis]\nurl = "redis://127.0.0.1:6379/0"\n'
QUEUE = '[queues.q]\nhandler = "a:b"\n'
SCHEDULE = REDIS + QUEUE + "[schedules.s]\nqueue = 'q'\n"


def problems_of(folder: Path, text: str | bytes, env: dict[str, str] | None = None) -> list[Problem]:
    (folder / "jobd.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigProblems) as caught:
        load(folder / "jobd.toml", env=env or {})
    return list(caught.value.details)


def test_layout_is_that_of_the_interface() -> None:
    problems = [
        Problem(
            "jobd.toml", 14, 1, "unknown key `concurency` in [queues.email]", "did you mean `concurrency`?",
            "concurency = 8", 10,
        ),
        Problem(
            "jobd.d/20-video.toml", 6, 12, "cannot import `shop.video:transcode`",
            "ModuleNotFoundError: No module named 'av'\nsearched: /srv/shop (from [app] path)",
            'handler = "shop.video:transcode"', 20,
        ),
    ]  # fmt: skip
    expected = """\
error: 2 problems in jobd.toml (old configuration kept)

  jobd.toml:14:1   unknown key `concurency` in [queues.email]
     14 | concurency = 8
        | ^^^^^^^^^^ did you mean `concurrency`?

  jobd.d/20-video.toml:6:12  cannot import `shop.video:transcode`
      6 | handler = "shop.video:transcode"
        |            ^^^^^^^^^^^^^^^^^^^^ ModuleNotFoundError: No module named 'av'
        |            searched: /srv/shop (from [app] path)"""
    assert render_problems(problems, kept=True) == expected


def test_all_problems_are_told_at_once_in_the_order_of_the_file() -> None:
    with pytest.raises(ConfigProblems) as caught:
        load(FIXTURES / "mistakes.toml", env={"JOBD_APPLE": "x"})
    places = [(problem.line, problem.column) for problem in caught.value.details]
    assert places == [
        (3, 7), (6, 11), (7, 1), (8, 15), (9, 11), (10, 55), (11, 15), (11, 22), (11, 42), (14, 10),
        (21, 9), (22, 8), (23, 1), (24, 12), (0, 0),
    ]  # fmt: skip
    assert str(caught.value).startswith("error: 15 problems in mistakes.toml\n\n")


@pytest.mark.parametrize(
    ("text", "place", "said"),
    [
        ("[queues.q]\nworkers = 2", "1:1", "has neither `url` nor `embedded`"),
        ("[redis]\nembedded = true\nurl = 'redis://x'", "2:1", "both"),
        (REDIS + "[queues.q]", "3:9", "neither `handler` nor `jobs`"),
        (REDIS + QUEUE + "timeout = 30", "5:11", 'did you mean "30s"?'),
        (REDIS + QUEUE + 'timeout = "30"', "5:11", 'did you mean "30s"?'),
        (REDIS + QUEUE + "memory_max = 512", "5:14", '"512MB"'),
        (REDIS + QUEUE + "workers = true", "5:11", "whole number"),
        (REDIS + QUEUE + "workers = 1.5", "5:11", "whole number"),
        (REDIS + QUEUE + "workers = 0", "5:11", "from 1 to 1000"),
        (REDIS + QUEUE + "workers = { mx = 3 }", "5:11", "did you mean `max`?"),
        (REDIS + QUEUE + "workers = { min = 3 }", "5:11", "needs `max`"),
        (REDIS + QUEUE + "workers = { min = 3, max = 2 }", "5:11", "`max` 2 is below `min` 3"),
        (REDIS + QUEUE + "workers = { max = 2, target_wait = 30 }", "5:11", 'such as "30s"'),
        (REDIS + QUEUE + "max_crashes = -1", "5:15", "at least 0"),
        (REDIS + QUEUE + "concurrency = 1025", "5:15", "from 1 to 1024"),
        (REDIS + QUEUE + "attempts = 5\nattempts_max = 3", "6:16", "below `attempts` 5"),
        (REDIS + QUEUE + 'backoff = { type = "linear", delay = "1s" }', "5:20", '"fixed" or "exponential"'),
        (REDIS + QUEUE + 'backoff = { type = "fixed" }', "5:11", "missing key `delay`"),
        (REDIS + QUEUE + "backoff = 5", "5:11", '"5s"'),
        (REDIS + QUEUE + "rate_limit = { max = 1 }", "5:14", "missing key `duration`"),
        (REDIS + QUEUE + "recycle = {}", "5:11", "one of `jobs`"),
        (REDIS + QUEUE + 'recycle = "1000"', "5:11", "{ jobs = 1000"),
        (REDIS + QUEUE + 'unknown = "ignore"', "5:11", '"fail" or "retry"'),
        (REDIS + '[queues]\n"a:b" = "a:b"', "4:1", "no `:`"),
        (REDIS + '[queues]\n"" = "a:b"', "4:1", "not empty"),
        (REDIS + '[queues]\nq = "shop.mail.send"', "4:5", 'did you mean "shop.mail:send"?'),
        (REDIS + "[queues]\nq = 5", "4:5", "or a table"),
        (REDIS + "queues = 5", "3:1", "unknown key"),
        ("queues = 5\n" + REDIS, "1:10", "expected a table"),
        (REDIS + "[[queues]]\nx = 1", "3:3", "expected a table"),
        (REDIS + QUEUE + "'a.b' = 1\n", "5:1", "unknown key `a.b`"),
        (REDIS + '[queues]\nq = "shop/mail.py:send"', "4:5", 'did you mean "shop.mail:send"?'),
        (REDIS + '[queues]\nq = "shop.mail:send()"', "4:5", 'did you mean "shop.mail:send"?'),
        (REDIS + "[queues.q]\nhandler = 'a:b'\npresets = 'x'", "5:1", "did you mean `preset`?"),
        (REDIS + "[daemons]\ngrace = '1s'", "3:2", "did you mean `daemon`?"),
        (REDIS + "[daemon]\nlog = { level = 'loud' }", "4:17", '"debug"'),
        (REDIS + "[daemon]\nqueues = 'x'", "4:10", 'a list such as ["*"]'),
        (REDIS + "[daemon]\nqueues = ['x', 5]", "4:16", "expected text"),
        (REDIS + f"[daemon]\nsocket = '/{'x' * 120}'", "4:10", "107 bytes"),
        ('[redis]\nurl = "rediss:/x"', "2:7", "starts with"),
        ('[redis]\nurl = "redi://x"', "2:7", "starts with"),
        ('[redis]\nurl = "redis://h:99999/0"', "2:7", "port"),
        ('[redis]\nurl = "redis://h/zero"', "2:7", "database"),
        ('[redis]\nurl = "redis:///0"', "2:7", "expected a host"),
        ('[redis]\nurl = "redis://[::1/0"', "2:7", "cannot read the URL"),
        ('[redis]\nurl = "redis+cluster://h"\n' + QUEUE, "2:7", "must lie in one slot"),
        (
            '[redis]\nurl = "redis+cluster://h"\n[queues."{a}"]\nhandler = "m:f"\ndead_letter = "{b}"',
            "5:15",
            "`dead_letter` must lie in its queue's slot, and {b} is in another",
        ),
        ('[redis]\nurl = "redis+sentinel://h"', "2:7", "master's name"),
        ('[redis]\nurl = "redis://:p@h"\npassword = "q"', "3:1", "keep one"),
        ('[redis]\nurl = "redis://h"\npassword = { evn = "X" }', "3:12", "a secret is"),
        ("[redis]\nurl = 'redis://h'\nembedded_port = 6390", "3:1", "belongs to `embedded = true`"),
        (REDIS + "[schedules.s]\nqueue = 'q'\nevery = '5m'", "4:9", "no queue `q`"),
        (REDIS + QUEUE + "[schedules.s]\nqueue = 'q'", "5:12", "one of `cron` and `every`"),
        (SCHEDULE + "cron = '* * * * *'\nevery = '5m'", "8:1", "one of `cron` and `every`"),
        (SCHEDULE + "cron = '0 25 * * *'", "7:8", 'cannot read "25" as the hour of the cron pattern "0 25 * * *"'),
        (SCHEDULE + "cron = '0 0 * * FRI-MON'", "7:8", 'cannot read "FRI-MON" as the weekday'),
        (SCHEDULE + "cron = '* * *'", "7:8", "expected 5 or 6 fields"),
        (SCHEDULE + "cron = '0 0 30 2 *'", "7:8", '"0 0 30 2 *" is never due'),
        (SCHEDULE + "cron = '@daily'\ntimezone = 'Europe/Athen'", "8:12", 'got "Europe/Athen"'),
        (SCHEDULE + "every = '5m'\ntimezone = 'UTC'", "8:1", "`timezone` goes with `cron`"),
        (SCHEDULE + "cron = '@daily'\noffset = '5m'", "8:1", "`offset` goes with `every`"),
        (SCHEDULE + "every = '5m'\njitter = '5m'", "8:10", "`jitter` must be shorter than `every`"),
        (SCHEDULE + "every = '5m'\nstart = 2026-01-01", "8:9", "expected a moment with its offset"),
        (SCHEDULE + "every = '5m'\nend = 'soon'", "8:7", "expected a moment with its offset"),
        (SCHEDULE + "every = '5m'\noverlap = 'drop'", "8:11", 'expected "allow", "queue" or "skip"'),
        (SCHEDULE + "every = '5m'\ncatch_up = 'all'", "8:12", 'expected "once" or "none"'),
        (SCHEDULE + "every = '5m'\ndata = { at = 2026-01-01 }", "8:8", "data.at is a date"),
        (REDIS + "[app]\npython = 'no/such'", "4:10", "is no program"),
        (REDIS + f"[app]\npython = '{'y' * 300}'", "4:10", "is no program"),
    ],
)
def test_each_mistake_has_its_place(tmp_path: Path, text: str, place: str, said: str) -> None:
    if "[app]" in text:
        text += "\n" + QUEUE
        said = "there is no program"
    found = {f"{p.line}:{p.column}": f"{p.message} {p.hint}" for p in problems_of(tmp_path, text)}
    assert place in found
    assert said in found[place]


def test_one_mistake_is_told_once(tmp_path: Path) -> None:
    text = REDIS + '[defaults]\nworkers = "x"\n[queues]\n' + "".join(f'q{n} = "a:b"\n' for n in range(5))
    assert len(problems_of(tmp_path, text)) == 1
    assert len(problems_of(tmp_path, REDIS + "[queues.q]\nhandler = 5")) == 1
    assert len(problems_of(tmp_path, REDIS + "[queues.q.jobs]\nx = { timeout = '1s' }")) == 1


def test_lock_shorter_than_twice_the_watchdog_is_refused_under_systemd(tmp_path: Path) -> None:
    text = REDIS + QUEUE + 'lock_duration = "15s"'
    (problem,) = problems_of(tmp_path, text, {"WATCHDOG_USEC": "10000000"})
    assert (problem.line, problem.column) == (5, 17)
    assert "20s" in problem.message


@pytest.mark.parametrize(("text", "place", "said"), [
    (QUEUE + 'dead_letter = "q"', "5:15", "q -> q"),
    (QUEUE + 'dead_letter = "d"\n[queues.d]\nhandler = "a:b"\ndead_letter = "q"', "5:15", "q -> d -> q"),
    (QUEUE + 'dead_letter = "a:b"', "5:15", "no `:` in it"),
])  # fmt: skip
def test_a_circle_of_dead_letters_is_refused(tmp_path: Path, text: str, place: str, said: str) -> None:
    first = problems_of(tmp_path, REDIS + text)[0]
    assert (f"{first.line}:{first.column}", said in first.message) == (place, True)


def test_the_queue_of_all_dead_letters_has_none_itself(tmp_path: Path) -> None:
    text = '[defaults]\ndead_letter = "dead"\n[queues]\nq = "a:b"\ndead = "a:b"\n'
    (tmp_path / "jobd.toml").write_text(REDIS + text)
    queues = load(tmp_path / "jobd.toml", env={}).queues
    assert (queues["q"].dead_letters_to, queues["dead"].dead_letters_to) == ("dead", None)


def test_job_log_output_off_is_no_problem(tmp_path: Path) -> None:
    (tmp_path / "jobd.toml").write_text(REDIS + QUEUE + "job_log_output = false")
    assert load(tmp_path / "jobd.toml", env={}).queues["q"].job_log_output_bytes is None


class TestColumns:
    def test_are_characters_not_bytes(self, tmp_path: Path) -> None:
        (problem,) = problems_of(tmp_path, REDIS + QUEUE + 'env = { "Ж" = "日本", "Ω" = 5 }')
        assert (problem.line, problem.column) == (5, 27)

    def test_survive_tabs_and_carriage_returns(self, tmp_path: Path) -> None:
        text = (REDIS + "[queues.q]\r\n\thandler = 'a:b'\r\n\tconcurency\t= 8\r\n").replace("\n", "\n")
        (problem,) = problems_of(tmp_path, text)
        assert (problem.line, problem.column) == (5, 2)
        assert "  5 |  concurency = 8\n        |  ^^^^^^^^^^ did" in render_problems([problem])

    def test_caret_stands_under_wide_characters(self, tmp_path: Path) -> None:
        (problem,) = problems_of(tmp_path, REDIS + QUEUE + '"日" = 5')
        caret = render_problems([problem]).splitlines()[-1]
        assert caret == "        | ^^^^"

    def test_very_long_line_is_cut_around_the_caret(self, tmp_path: Path) -> None:
        (problem,) = problems_of(tmp_path, REDIS + QUEUE + f"env = {{ A = '{'x' * 5000}', B = 5 }}")
        line, caret = render_problems([problem]).splitlines()[-2:]
        assert len(line) < 200
        assert line[caret.index("^")] == "5"


class TestSyntax:
    @pytest.mark.parametrize(
        ("text", "place"),
        [
            (b"[redis\nurl = 1", "1:7"),
            (b"a = 1\nb = = 2\n", "2:5"),
            (b"a = 1\na = 2\n", "2:6"),
            (b"[a]\n[a]\n", "2:3"),
            (b"\xef\xbb\xbf[redis]\n", "1:1"),
            (b"a = 'caf\xe9'\n", "1:1"),
            (b"a = \x00\n", "1:5"),
            (b"a = " + b"9" * 5000, "1:1"),
            (b"a = " + b"[" * 5000, "1:1"),
            (b"a" + b".a" * 2000 + b" = 1", "1:1"),
            (b"a = '\xd0\x96' x", "1:9"),
            (b'a = """\nxx', "2:3"),
        ],
    )
    def test_broken_text_is_placed(self, tmp_path: Path, text: bytes, place: str) -> None:
        (problem,) = problems_of(tmp_path, text)
        assert f"{problem.line}:{problem.column}" == place

    def test_drop_in_that_is_a_folder_is_a_problem(self, tmp_path: Path) -> None:
        (tmp_path / "jobd.d/1.toml").mkdir(parents=True)
        (problem,) = problems_of(tmp_path, REDIS)
        assert problem.place == "jobd.d/1.toml:1:1"

    def test_a_file_too_large_to_be_one_is_a_problem(self, tmp_path: Path) -> None:
        with (tmp_path / "jobd.toml").open("wb") as file:
            file.truncate(2**33)
        with pytest.raises(ConfigProblems, match="larger than 8 MiB"):
            load(tmp_path / "jobd.toml", env={})

    def test_hides_the_rest_but_not_that_of_another_file(self, tmp_path: Path) -> None:
        (tmp_path / "jobd.d").mkdir()
        (tmp_path / "jobd.d/1.toml").write_text("a = = 1")
        problems = problems_of(tmp_path, "b = = 1\n[nonsense]")
        assert [problem.place for problem in problems] == ["jobd.toml:1:5", "jobd.d/1.toml:1:5"]


@pytest.mark.parametrize(
    "text",
    [
        '[redis]\nurl = "redis://u:hunter2@h:x/0"',
        '[redis]\nurl = "redis://h"\npassword = ["hunter2"]',
        '[redis]\nurl = "redis://h"\npasword = "hunter2"',
        '[redis]\nurl = "redis://h"\npassword = { evn = "hunter2" }',
        '[redis]\nurl = "redis://h"\n[app]\nenv = { API_KEY = ["hunter2"] }',
        '[redis]\nurl = "http://u:hunter2@h"',
        '[redis]\nurl = ["redis://u:hunter2@h"]',
        '[redis]\nurl = "redis://h"\npassword = 98765',
        '[redis]\nurl = "redis://h"\n[app]\nenv = { DB_PASSWORD = 98765.5 }',
    ],
)
def test_no_secret_is_printed(tmp_path: Path, text: str) -> None:
    (tmp_path / "jobd.toml").write_text(text)
    with pytest.raises(ConfigProblems) as caught:
        load(tmp_path / "jobd.toml", env={})
    error = caught.value
    told = "".join([str(error), repr(error), repr(error.details), *error.problems])
    assert "hunter2" not in told
    assert "98765" not in told


def test_what_is_left_is_handed_on_to_find_more_problems(tmp_path: Path) -> None:
    (tmp_path / "jobd.toml").write_text(REDIS + QUEUE + "workers = 0\nconcurrency = 3")
    with pytest.raises(ConfigProblems) as caught:
        load(tmp_path / "jobd.toml", env={})
    assert caught.value.partial is not None
    assert caught.value.partial.queues["q"].concurrency == 3
