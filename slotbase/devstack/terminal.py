"""Shows what the programs log in one terminal, each line with its program's name."""

from collections.abc import Iterable
from pathlib import Path


class Terminal:
    """Prints lines, and what is new in some log files, while somebody reads along."""

    def __init__(self, logs: Iterable[Path] = ()) -> None:
        self._seen = {log: log.stat().st_size if log.exists() else 0 for log in logs}
        self._has_reader = True

    def say(self, text: str) -> None:
        """Print some lines."""
        if not self._has_reader:
            return
        try:
            print(text, flush=True)
        except OSError:  # the window was closed; the log files remain
            self._has_reader = False

    def show_news(self) -> None:
        """Print the complete lines that were logged since the last call."""
        for log in self._seen:
            for line in self._new_lines(log):
                self.say(f"{log.stem:<10} | {line}")

    def _new_lines(self, log: Path) -> list[str]:
        if not log.exists():
            return []
        with log.open("rb") as file:
            file.seek(self._seen[log])
            complete, newline, _ = file.read().rpartition(b"\n")
        self._seen[log] += len(complete) + len(newline)
        return complete.decode(errors="replace").splitlines()


def last_lines(log: Path, count: int = 20) -> str:
    """The end of a log file; empty if there is none."""
    if not log.exists():
        return ""
    return "\n".join(log.read_text(errors="replace").splitlines()[-count:])
