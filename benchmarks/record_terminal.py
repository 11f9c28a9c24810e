"""Record what a command shows in a terminal, as text: what stands there now and then, and at last.

The command runs in a terminal of its own (a pseudo-terminal) with as many columns as asked for.
What is written is the screen without colours; what scrolled away is part of it. The pictures of
docs/terminal.md:

    NO_COLOR=1 python benchmarks/record_terminal.py --columns 80 --after 30 120 --from micro: make
"""

from __future__ import annotations

import argparse
import codecs
import fcntl
import os
import pty
import re
import select
import struct
import termios
import time
from collections.abc import Iterator, Mapping, Sequence

ROWS = 40
# What rich and Snakemake send: go up, erase a line, colours and the cursor's look.
CONTROL = re.compile(r"\x1b\[(?P<number>[?\d;]*)(?P<what>[A-Za-z])")


class Screen:
    """The lines that a terminal shows, with all that scrolled away above them."""

    def __init__(self) -> None:
        self.lines, self.row, self.column = [""], 0, 0
        self.rest = ""

    def write(self, text: str) -> None:
        """Take what a program has written; a control sequence may be cut off at its end."""
        text = self.rest + text
        at = 0
        while at < len(text):
            if text[at] == "\x1b":
                if not (found := CONTROL.match(text, at)):
                    break
                self._control(found["number"], found["what"])
                at = found.end()
            else:
                self._put(text[at])
                at += 1
        self.rest = text[at:]

    def _control(self, number: str, what: str) -> None:
        if what == "A":
            self.row = max(0, self.row - int(number or 1))
        elif what == "K" and number == "2":
            self.lines[self.row] = ""

    def _put(self, character: str) -> None:
        if character == "\r":
            self.column = 0
        elif character == "\n":
            self.row += 1
            self.column = 0
            self.lines += [""] * (self.row + 1 - len(self.lines))
        else:
            line = self.lines[self.row].ljust(self.column)
            self.lines[self.row] = line[: self.column] + character + line[self.column + 1 :]
            self.column += 1

    def text(self) -> str:
        """Return what is shown."""
        return "\n".join(line.rstrip() for line in self.lines).rstrip() + "\n"


def play(
    command: Sequence[str],
    columns: int,
    environment: Mapping[str, str] | None = None,
    folder: str | None = None,
    stop_after: float | None = None,
) -> Iterator[str | int]:
    """Run a command in a terminal: yield what it shows after each thing it writes, then its status.

    Args:
        command: With its arguments.
        columns: Of the terminal.
        environment: Default: that of this process.
        folder: Where it runs; default: here.
        stop_after: Seconds after which Ctrl-C is typed.
    """
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(folder or ".")
        os.execvpe(command[0], list(command), dict(environment or os.environ))
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, columns, 0, 0))
    screen, decoder = Screen(), codecs.getincrementaldecoder("utf-8")(errors="replace")
    end = time.monotonic() + stop_after if stop_after else float("inf")
    while True:
        ready = select.select([terminal], [], [], 1.0)[0]
        if time.monotonic() >= end:
            os.write(terminal, b"\x03")
            end = float("inf")
        if not ready:
            continue
        try:
            written = os.read(terminal, 65_536)
        except OSError:  # Linux: the other side is closed
            written = b""
        if not written:
            break
        screen.write(decoder.decode(written))
        yield screen.text()
    os.close(terminal)
    yield os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--columns", type=int, default=80)
    parser.add_argument("--after", type=float, nargs="*", default=[], help="seconds")
    parser.add_argument("--from", dest="first", default="", help="begin at this line's first words")
    parser.add_argument("--stop", type=float, help="seconds after which Ctrl-C is typed")
    parser.add_argument("command", nargs="+")
    arguments = parser.parse_args()
    os.environ.setdefault("TERM", "xterm-256color")
    begin, wanted, last = time.monotonic(), sorted(arguments.after), ""
    for state in play(arguments.command, arguments.columns, stop_after=arguments.stop):
        if isinstance(state, int):
            print(f"--- at the end, exit status {state}\n{_part(last, arguments.first)}")
            return
        last, gone = state, time.monotonic() - begin
        if wanted and gone >= wanted[0]:
            wanted.pop(0)
            print(f"--- after {gone:.0f} s\n{_part(state, arguments.first)}", flush=True)


def _part(text: str, first: str) -> str:
    """Return a screen from the line that begins with `first`; all of it where there is none."""
    lines = text.splitlines(keepends=True)
    begins = [n for n, line in enumerate(lines) if line.startswith(first)]
    return "".join(lines[begins[0] :] if begins else lines)


if __name__ == "__main__":
    main()
