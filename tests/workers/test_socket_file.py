from __future__ import annotations

import errno
import os
import socket
import stat
from pathlib import Path

import pytest

from hub.workers.socket_file import listening

pytestmark = pytest.mark.skipif(os.name != "posix", reason="this system has no such sockets")


def connect(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as caller:
        caller.connect(str(path))


def test_a_socket_has_its_mode_and_is_gone_in_the_end(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with listening(path, 0o640):
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
        connect(path)
        assert list(tmp_path.iterdir()) == [path]
    assert not list(tmp_path.iterdir())


def test_what_a_dead_process_has_left_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with listening(path, 0o600):
        connect(path)


def test_a_socket_at_which_another_process_listens_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with listening(path, 0o600):
        with pytest.raises(OSError, match="in use") as refused, listening(path, 0o600):
            pass
        assert refused.value.errno == errno.EADDRINUSE
        connect(path)


def test_something_else_than_a_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_text("mine")
    with pytest.raises(FileExistsError, match="something else"), listening(path, 0o600):
        pass
    assert path.read_text() == "mine"


def test_where_there_is_no_directory_there_is_no_socket(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), listening(tmp_path / "none" / "s", 0o600):
        pass


def test_a_directory_in_its_place_leaves_no_trace(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    with pytest.raises(FileExistsError), listening(tmp_path / "s", 0o600):
        pass
    assert [one.name for one in tmp_path.iterdir()] == ["s"]


def test_the_socket_of_one_who_came_later_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with listening(path, 0o600):
        path.unlink()
        with socket.socket(socket.AF_UNIX) as later:
            later.bind(str(path))
    assert path.exists()
