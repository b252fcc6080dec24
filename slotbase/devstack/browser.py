"""The browser that the tests drive: Debian's chromium, or one named by the environment.

`python -m slotbase.devstack.browser` makes sure that there is one. It installs the
package only as root on a Debian system (CI); elsewhere it says what to do.
"""

import os
import shutil
import subprocess
import sys

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ADVICE = (
    "The tests drive a real browser. Install one (on Debian: apt-get install chromium) "
    "or name one: SLOTBASE_BROWSER=/path/to/chrome"
)


def find_browser() -> str | None:
    """The path of a browser that playwright can drive, None if there is none."""
    named = os.environ.get("SLOTBASE_BROWSER")
    return named or next(filter(None, map(shutil.which, NAMES)), None)


def install_chromium() -> None:
    """Install Debian's package; does nothing where that is not possible."""
    if os.geteuid() == 0 and shutil.which("apt-get"):
        apt = ["apt-get", "-qq", "-o", "Dpkg::Use-Pty=0"]
        subprocess.run([*apt, "update"], check=False)
        subprocess.run(
            [*apt, "install", "-y", "--no-install-recommends", "chromium"],
            env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"},
            check=False,
            stdout=subprocess.DEVNULL,
        )


def main() -> int:
    """Find or install a browser; the exit code."""
    if find_browser() is None:
        install_chromium()
    if find_browser() is None:
        print(ADVICE, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
