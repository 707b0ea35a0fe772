"""The feed on a terminal's screen: figures, graphs of the past, and tables of members."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Self

from rich.console import Console
from rich.live import Live

from hub.cli.watch.cells import Block, Line, Pen
from hub.cli.watch.heading import Heading, footing, key_list
from hub.cli.watch.keys import Key
from hub.cli.watch.machine import Machine
from hub.cli.watch.message import Message
from hub.cli.watch.overview import Sample, complaints, sections
from hub.cli.watch.page import Page
from hub.cli.watch.past import Past
from hub.cli.watch.viewer import Phase, State
from hub.clock import Clock, Timer

__all__ = ["Screen"]

_DRAW_SECONDS: Final = 0.05
_ROOMY: Final = 60
"""Columns from which on figures are shown beside others, where they are less clear alone."""

_FOOTED: Final = 4
"""Lines from which on the last one says which keys there are."""

_WRAP: Final = "\x1b[?7h"
_NO_WRAP: Final = "\x1b[?7l"
"""DECAWM: a letter that is wider than it is known to be must not push a line into the next."""


class Screen:
    """A viewer that fills the terminal while its context is entered.

    Messages that come in a burst are drawn once.

    Args:
        title: the address that is followed.
        clock: runs the timer that ends a burst.
        console: where to draw; by default standard output.
        keys: whether the user can press keys.
        on_failure: is given what goes wrong in drawing; by default that is raised, which in a
            timer no caller hears.
    """

    def __init__(
        self,
        title: str,
        *,
        clock: Clock,
        console: Console | None = None,
        keys: bool = False,
        on_failure: Callable[[Exception], None] | None = None,
    ) -> None:
        self._title = title
        self._clock = clock
        self._console = console or Console()
        self._keys = keys
        self._on_failure = on_failure
        self._live = Live(console=self._console, screen=True, auto_refresh=False)
        # State of the connection as of the last change.
        self._state = State(Phase.CONNECTING)
        # The newest message, or None until there is one.
        self._message: Message | None = None
        # What the hub has said of its machine, or None until it has.
        self._machine: Machine | None = None
        # What the graphs show.
        self._past = Past()
        # The first line of the page that is seen.
        self._offset = 0
        # Whether the list of keys is shown.
        self._helping = False
        # Runs from the first change that is not drawn yet until it is.
        self._timer: Timer | None = None

    def __enter__(self) -> Self:
        self._live.start()
        try:
            self._write(_NO_WRAP)
            self.draw()
        except BaseException:
            self._leave()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._leave()

    def _leave(self) -> None:
        try:
            self._write(_WRAP)
        finally:
            self._live.stop()

    def pause(self) -> None:
        """Leave the terminal to others, until ``resume``."""
        self._write(_WRAP)
        self._console.show_cursor(True)
        self._console.set_alt_screen(False)

    def resume(self) -> None:
        """Take the terminal again, whatever others have done to it."""
        self._console.set_alt_screen(True)
        self._console.show_cursor(False)
        self._write(_NO_WRAP)
        self.draw()

    def _write(self, command: str) -> None:
        if self._console.is_terminal and not self._console.legacy_windows:
            self._console.file.write(command)
            self._console.file.flush()

    def show(self, message: Message) -> None:
        """See ``Viewer``."""
        self._message = message
        self._past.add(message.content)
        self._draw_soon()

    def on_state(self, state: State) -> None:
        """See ``Viewer``."""
        self._state = state
        self._draw_soon()

    def on_machine(self, machine: Machine) -> None:
        """Take what the hub says of its machine."""
        self._machine = machine
        self._draw_soon()

    def press(self, key: Key) -> None:
        """Do what a key means."""
        if self._helping or key is Key.HELP:
            self._helping = not self._helping
        else:
            self._scroll(key)
        self.draw()

    def _scroll(self, key: Key) -> None:
        page = max(1, self._room - 1)
        steps = {Key.UP: -1, Key.DOWN: 1, Key.PAGE_UP: -page, Key.PAGE_DOWN: page}
        end = {Key.HOME: 0, Key.END: self._page().height}
        self._offset = end.get(key, self._offset + steps.get(key, 0))
        self._offset = self._clamped(self._page())

    def draw(self) -> None:
        """Draw the screen as of now, whether or not anything has changed."""
        self._timer = None
        try:
            self._live.update(self.render(), refresh=True)
        except Exception as error:
            if self._on_failure is None:
                raise
            self._on_failure(error)

    def _draw_soon(self) -> None:
        if self._timer is None:
            self._timer = self._clock.call_later(_DRAW_SECONDS, self.draw)

    def render(self) -> Block:
        """Return the whole screen as of now."""
        width, height = self._console.size
        pen = Pen(ascii_only=self._console.options.ascii_only)
        heading = Heading(self._title, self._machine, self._state, self._message)
        page = self._page()
        self._offset = self._clamped(page)
        body = key_list(pen) if self._helping else page.draw(pen, self._offset, self._room)
        body = body[: self._room]
        lines = [heading.draw(pen, width), *body]
        if height >= _FOOTED:
            lines += [pen.text("")] * (self._room - len(body))
            lines.append(self._footing(pen, page, width))
        return pen.stack(pen.fit(line, width) for line in lines)

    def _footing(self, pen: Pen, page: Page, width: int) -> Line:
        last = min(page.height, self._offset + self._room)
        scrolls = page.height > self._room and not self._helping
        place = f"lines {self._offset + 1}-{last} of {page.height}" if scrolls else ""
        more = ", ↑ ↓ more" if scrolls else ""
        keys = f"q quit, ? keys{more}" if self._keys else ""
        return footing(pen, self._state, keys, place, width)

    @property
    def _room(self) -> int:
        """Lines between the first and the last."""
        height = self._console.height
        return max(0, height - (2 if height >= _FOOTED else 1))

    def _clamped(self, page: Page) -> int:
        return max(0, min(self._offset, page.height - self._room))

    def _page(self) -> Page:
        """Arrange the page for the window as it is."""
        width = self._console.width
        content = self._message.content if self._message else {}
        sample = Sample(content, self._past, self._cores(), width >= _ROOMY)
        wrong = complaints(sample)
        return Page(sections(sample), [wrong] if wrong else [], width, self._room)

    def _cores(self) -> int:
        """Return how many logical processors the machine has; 0 where that is not known."""
        cores = self._message.content.get("cores") if self._message else None
        if isinstance(cores, list) and cores:
            return len(cores)
        return self._machine.cores if self._machine else 0
