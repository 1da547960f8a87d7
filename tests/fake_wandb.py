"""W&B's cloud on 127.0.0.1: as much of it as wandb 0.31 asks, and the ways in which it fails.

A run's history is kept by line number, as the real file stream does, so that what is sent twice to the same line is
there once and what is sent to later lines is there twice.
"""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

KEY = "a" * 40


@dataclass
class Run:
    """What the server has of one run."""

    name: str
    config: dict[str, Any] = field(default_factory=dict)
    history: dict[int, dict[str, Any]] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    said: dict[str, Any] = field(default_factory=dict)

    def rows(self) -> list[dict[str, Any]]:
        return [self.history[n] for n in sorted(self.history)]


@dataclass
class Cloud:
    """A server and its memory; `fails` maps graphql, stream, upload or a query's name to 500, 401, hang, drop."""

    url: str = ""
    runs: dict[str, Run] = field(default_factory=dict)
    asked: list[tuple[str, Any]] = field(default_factory=list)
    fails: dict[str, str] = field(default_factory=dict)
    over: threading.Event = field(default_factory=threading.Event)

    def count(self, name: str) -> int:
        return sum(what == name for what, _ in self.asked)

    def names(self) -> set[str]:
        return {what for what, _ in self.asked}

    def environment(self) -> dict[str, str]:
        return {"WANDB_BASE_URL": self.url, "WANDB_API_KEY": KEY}


def inspected(path: Path) -> list[dict[str, Any]]:
    """The records of a .wandb file, by W&B's own reader."""
    line = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", path]
    done = subprocess.run(line, capture_output=True, text=True, timeout=600, check=True)
    return [json.loads(text) for text in done.stdout.splitlines()]


@contextmanager
def served() -> Iterator[Cloud]:
    cloud = Cloud()

    class Handler(_Handler):
        memory = cloud

    server = _Quiet(("127.0.0.1", 0), Handler)
    cloud.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield cloud
    finally:
        cloud.over.set()
        server.shutdown()
        server.server_close()


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""


class _Handler(BaseHTTPRequestHandler):
    memory: Cloud
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        body = self._body()
        if self.path.startswith("/graphql"):
            asked = json.loads(body)
            name = (re.search(r"(?:query|mutation)\s+(\w+)", asked["query"]) or ["", "unnamed"])[1]
            variables = asked.get("variables") or {}
            self.memory.asked.append((name, variables))
            if self._failed("graphql", name):
                return
            self._send({"data": _graphql(self.memory, name, variables)})
        elif self.path.endswith("/file_stream"):
            content = json.loads(body)
            self.memory.asked.append(("stream", content))
            if not self._failed("stream"):
                self._streamed(content)
                self._send({"exitcode": None, "limits": {}})
        elif self.path.startswith("/up/"):
            self.memory.asked.append(("upload", self.path))
            if not self._failed("upload"):
                _, _, run, name = self.path.split("/", 3)
                self.memory.runs[run].files[name] = body
                self._send({})
        else:
            self.memory.asked.append((self.path, None))
            self._send({})

    def _streamed(self, content: dict[str, Any]) -> None:
        run = self.memory.runs.setdefault(self.path.split("/")[-2], Run(self.path.split("/")[-2]))
        for name, chunk in content.get("files", {}).items():
            for number, line in enumerate(chunk["content"], start=chunk["offset"]):
                if name == "wandb-history.jsonl":
                    run.history[number] = json.loads(line)
                elif name == "wandb-summary.json":
                    run.summary = json.loads(line)
        run.said.update({k: content[k] for k in ("complete", "exitcode") if k in content})

    def _failed(self, *parts: str) -> bool:
        how = next((self.memory.fails[part] for part in parts if part in self.memory.fails), None)
        if how is None:
            return False
        if how in ("hang", "drop"):
            self.memory.over.wait(120 if how == "hang" else 0)
            self.close_connection = True
            return True
        self._send({"errors": [{"message": "the test says so"}]}, int(how))
        return True

    def _send(self, content: Any, status: int = 200) -> None:
        payload = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def _body(self) -> bytes:
        body = b""
        if self.headers.get("Transfer-Encoding") == "chunked":
            while n := int(self.rfile.readline(), 16):
                body += self.rfile.read(n)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body


PROJECT = {"id": "p", "name": "p", "entity": {"id": "e", "name": "me"}}


def _graphql(cloud: Cloud, name: str, v: dict[str, Any]) -> dict[str, Any]:
    if name == "Viewer":
        return {
            "viewer": {
                "id": "u",
                "entity": "me",
                "username": "me",
                "email": "me@home",
                "flags": "{}",
                "teams": {"edges": []},
            }
        }
    if name == "UpsertBucket":
        is_new = v["name"] not in cloud.runs
        run = cloud.runs.setdefault(v["name"], Run(v["name"]))
        run.config.update(json.loads(v.get("config") or "{}"))
        run.said.update({k: x for k, x in v.items() if x is not None and k != "config"})
        return {"upsertBucket": {"inserted": is_new, "bucket": _bucket(run)}}
    if name == "RunResumeStatus":
        found = cloud.runs.get(v["name"])
        return {"model": {**PROJECT, "bucket": _bucket(found) if found else None}}
    if name == "CreateRunFiles":
        files = [{"name": f, "uploadUrl": f"{cloud.url}/up/{v['run']}/{f}"} for f in v["files"]]
        return {"createRunFiles": {"runID": v["run"], "uploadHeaders": [], "files": files}}
    if name == "CreateArtifact":
        sequence = {"id": "s", "latestArtifact": None}
        made = {
            "id": f"a{time.time_ns()}",
            "digest": v["input"]["digest"],
            "state": "COMMITTED",
            "aliases": [],
            "artifactSequence": sequence,
        }
        return {"createArtifact": {"artifact": made}}
    if name == "ServerFeaturesQuery":
        return {"serverInfo": {"features": []}}
    if name == "UseArtifact":
        return {"useArtifact": {"artifact": {"id": v["input"]["artifactID"]}}}
    return {}


def _bucket(run: Run) -> dict[str, Any]:
    last = json.dumps(run.rows()[-1]) if run.history else None
    return {
        "id": f"id-{run.name}",
        "name": run.name,
        "displayName": run.name,
        "description": None,
        "sweepName": None,
        "project": PROJECT,
        "config": json.dumps(run.config),
        "historyLineCount": len(run.history),
        "eventsLineCount": 0,
        "logLineCount": 0,
        "historyTail": json.dumps([last] if last else []),
        "eventsTail": "[]",
        "summaryMetrics": json.dumps(run.summary),
        "tags": [],
        "wandbConfig": json.dumps({"t": 1}),
    }
