"""What is told of a process' end."""

from __future__ import annotations

from jobd.daemon.processes.exit_status import last_words

DUMP = """starting
Fatal Python error: Segmentation fault

Thread 0x00007f0000000001 (most recent call first):
  File "/usr/lib/python3.11/selectors.py", line 468 in select
  File "/usr/lib/python3.11/asyncio/base_events.py", line 1871 in _run_once

Current thread 0x00007f0000000002 (most recent call first):
  File "/usr/lib/python3.11/ctypes/__init__.py", line 519 in string_at
  File "/srv/shop/images.py", line 12 in resize
  File "/srv/shop/images.py", line 30 in thumb
  File "/x/a.py", line 1 in a
  File "/x/b.py", line 2 in b
  File "/x/c.py", line 3 in c

Extension modules: numpy.core._multiarray_umath, lxml.etree, hiredis.hiredis (total: 3)
"""


def test_the_last_words_are_the_last_lines():
    assert last_words(["a", "b", "", "c", "d", " "]) == ["b", "c", "d"]
    assert last_words([]) == []


def test_of_a_dump_of_faulthandler_the_frames_of_the_thread_that_died_are_told_not_the_list_of_modules():
    told = last_words(DUMP.splitlines())
    assert told[0] == "Fatal Python error: Segmentation fault"
    assert told[2] == '  File "/srv/shop/images.py", line 12 in resize'
    assert len(told) == 6
    assert not any("Extension modules" in line for line in told)


def test_a_dump_without_a_current_thread_keeps_its_first_line():
    assert last_words(["Fatal Python error: Aborted", "Extension modules: x"]) == ["Fatal Python error: Aborted"]
