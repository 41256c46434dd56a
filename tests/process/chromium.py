# SPDX-License-Identifier: Apache-2.0
"""Chromium without a window, driven over two pipes by the DevTools protocol.

No port is opened and nothing is downloaded but, where it is missing, Debian's package.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import tempfile
from itertools import count
from pathlib import Path
from typing import Any

PROGRAMS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
PACKAGE = "chromium-headless-shell"
INSTALL_S = 300
ANSWER_S = 60.0


class ChromiumMissing(Exception):
    """There is no Chromium here, and none can be installed."""


def program() -> str:
    """Return the path of a Chromium, installed from Debian if need be.

    Raises:
        ChromiumMissing: see there.
    """
    if (found := _program()) is not None:
        return found
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise ChromiumMissing("no Chromium, and no way to install Debian's")
    install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", PACKAGE]
    for command in (install, ["apt-get", "update", "-qq"], install):
        try:
            subprocess.run(command, capture_output=True, check=False, timeout=INSTALL_S)
        except subprocess.TimeoutExpired as error:
            raise ChromiumMissing("Debian's Chromium did not come in time") from error
        if (found := _program()) is not None:
            return found
    raise ChromiumMissing("apt-get has no Chromium")


def _program() -> str | None:
    return next((found for name in PROGRAMS if (found := shutil.which(name))), None)


class Tab:
    """One page of a Chromium of its own; close it when done.

    Attributes:
        events: what the page told without being asked, in order.
    """

    def __init__(self) -> None:
        found = program()
        self._folder = tempfile.mkdtemp(prefix="fedxdr-chromium-")
        options = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--no-first-run",
            f"--user-data-dir={self._folder}",
            "--remote-debugging-pipe",
            "about:blank",
        ]
        # Chromium reads commands from 3 and writes answers to 4
        self._process = subprocess.Popen(
            ["sh", "-c", 'exec "$@" 3<&0 4>&1 1>/dev/null', "sh", found, *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._numbers, self._read, self._session = count(1), b"", None
        self.events: list[dict[str, Any]] = []
        targets = self.ask("Target.getTargets")["targetInfos"]
        target = next(one["targetId"] for one in targets if one["type"] == "page")
        attached = self.ask("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "DOM"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """Return the answer to a command of the protocol."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        self._process.stdin.write(json.dumps(message).encode() + b"\0")
        self._process.stdin.flush()
        while (answer := self._next()).get("id") != number:
            self.events.append(answer)
        assert "error" not in answer, (method, answer)
        return answer["result"]

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._read:
            ready, _, _ = select.select([self._process.stdout], [], [], ANSWER_S)
            assert ready, "Chromium does not answer"
            more = os.read(self._process.stdout.fileno(), 1 << 20)
            assert more, "Chromium is gone"
            self._read += more
        message, _, self._read = self._read.partition(b"\0")
        return json.loads(message)

    def open(self, path: Path) -> None:
        """Open a file and wait until it is loaded."""
        self.events = [e for e in self.events if e["method"] != "Page.loadEventFired"]
        self.ask("Page.navigate", url=path.resolve().as_uri())
        while not any(e["method"] == "Page.loadEventFired" for e in self.events):
            self.events.append(self._next())

    def run(self, expression: str) -> Any:
        """Return the value of an expression; a promise is waited for."""
        answer = self.ask(
            "Runtime.evaluate",
            expression=expression,
            awaitPromise=True,
            returnByValue=True,
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def choose(self, selector: str, file: Path) -> None:
        """Choose a file in a file input, as a person does."""
        root = self.ask("DOM.getDocument")["root"]["nodeId"]
        node = self.ask("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.ask("DOM.setFileInputFiles", files=[str(file)], nodeId=node)

    def drop(self, file: Path, *, x: int, y: int) -> None:
        """Drop a file on the page."""
        data = {"items": [], "files": [str(file)], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            self.ask("Input.dispatchDragEvent", type=kind, x=x, y=y, data=data)

    def close(self) -> None:
        """End this Chromium and remove what it wrote."""
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        shutil.rmtree(self._folder, ignore_errors=True)
