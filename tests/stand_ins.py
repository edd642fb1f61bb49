"""Servers on this machine's loopback that answer as the hub and as W&B do, as far as our uploads and questions go."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Service:
    """What a stand-in was told: every request's path and body, and the files of every commit."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, Any]] = []
        self.commits: list[dict[str, bytes]] = []
        self.runs: list[dict[str, Any]] = []
        """What filters ask about; ``node`` is the run as W&B tells it (:func:`tracked`)."""
        self.refuses = False
        self.url = ""

    def hub(self, path: str, body: bytes) -> Any:
        """The hub's API: who am I, create a repository, how to upload each file, commit."""
        if self.refuses:
            return None
        if path.startswith("/api/whoami"):
            return {"name": "tester", "type": "user"}
        if "/preupload/" in path:
            files = json.loads(body)["files"]
            return {"files": [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in files]}
        if "/commit/" in path:
            lines = [json.loads(line) for line in body.splitlines()]
            files = [line["value"] for line in lines if line["key"] == "file"]
            self.commits.append({file["path"]: base64.b64decode(file["content"]) for file in files})
            return {"commitUrl": f"{self.url}/tester/model/commit/1", "commitOid": "1", "hookOutput": ""}
        if path.startswith("/api/repos/create"):
            content = json.loads(body)
            return {"url": f"{self.url}/{content.get('repoId') or 'tester/' + content['name']}"}
        return {"id": path.removeprefix("/api/models/"), "siblings": []}

    def tracker(self, path: str, body: bytes) -> Any:
        """W&B's GraphQL: who am I, and which runs of a project pass a filter."""
        if path != "/graphql":
            return {}
        question = json.loads(body)
        self.requests.append((path, question))
        if "Runs(" not in question["query"]:
            who = {"id": "1", "entity": "tester", "username": "tester", "flags": "{}"}
            more = {
                "name": "tester",
                "email": "",
                "admin": False,
                "deletedAt": None,
                "teams": {"edges": []},
            }  # what older clients ask
            types = {
                alias: {"fields": [], "inputFields": []} for alias in re.findall(r"(\w+): __type", question["query"])
            }
            return {"data": {"viewer": who | more, **types}}
        wanted = json.loads(question["variables"]["filters"])
        found = [run for run in self.runs if all(run.get(key) == value for key, value in wanted.items())]
        page = {"endCursor": None, "hasNextPage": False}
        nodes = [run["node"] for run in found if "node" in run]
        runs = {"edges": [{"node": node, "cursor": node["name"]} for node in nodes], "pageInfo": page}
        return {"data": {"project": {"internalId": "1", "runCount": len(found), "readOnly": False, "runs": runs}}}


def tracked(
    name: str, kind: str, fingerprint: str, summary: dict[str, Any], state: str = "finished", **config: Any
) -> dict[str, Any]:
    """A run for :attr:`Service.runs`, with its configuration and its numbers by path."""
    settings = {**config, **({"fingerprint": fingerprint} if fingerprint else {})}
    node = {
        "id": name, "projectId": "1", "name": f"id-{len(name)}-{fingerprint}", "displayName": name, "state": state, "jobType": kind, "tags": [], "group": None,
        "sweepName": None, "commit": None, "readOnly": False, "createdAt": "2026-01-02T03:04:05", "heartbeatAt": "2026-01-02T03:04:05",
        "description": "", "notes": "", "historyLineCount": 0, "user": {"name": "tester", "username": "tester"}, "historyKeys": {}, "systemMetrics": "{}",
        "config": json.dumps({key: {"value": value} for key, value in settings.items()}), "summaryMetrics": json.dumps(summary),
    }  # fmt: skip
    return {"display_name": name, "state": state, "node": node}


@contextlib.contextmanager
def serve(kind: str) -> Iterator[Service]:
    """A stand-in (``hub`` or ``tracker``) while the block runs."""
    service = Service()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.headers.get("Transfer-Encoding") == "chunked":
                body = b"".join(self._chunks())
            answer = getattr(service, kind)(self.path, body)
            content = json.dumps(answer if answer is not None else {"error": "no"}).encode()
            self.send_response(200 if answer is not None else 401)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST

        def _chunks(self) -> Iterator[bytes]:
            while size := int(self.rfile.readline(), 16):
                yield self.rfile.read(size)
                self.rfile.readline()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    service.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield service
    finally:
        server.shutdown()
        server.server_close()
