"""Files of texts and of questions that are wrong in some way: by name, the same bytes every time.

``TEXTS`` and ``QUESTIONS`` map a file's name (its suffix says how it is read) to its content. None of them holds what can be
used as it stands; readers must refuse each in one line.
"""

from __future__ import annotations

import gzip
import itertools
import json

GOOD_ROW = {"question": "What burns?", "choices": ["oil", "water", "salt"], "answer": 0}
CHAT = [{"role": "user", "content": "Which fox?"}]
DEEP = 100_000

BYTES = {
    "empty": b"", "one line end": b"\n", "spaces": b" \t \r\n \n", "only a mark": b"\xef\xbb\xbf",
    "nul": b"a fox\0\n", "all nul": bytes(999), "latin-1": "ein Fluß\n".encode("latin-1"),
    "utf-16": "text\na fox\n".encode("utf-16"), "utf-16 big": b"\xfe\xff" + "text\na fox\n".encode("utf-16-be"),
    "utf-16 bare": "text\na fox\n".encode("utf-16-le"), "utf-32": "text\na fox\n".encode("utf-32"),
    "cut character": "text\nein Flu\u00df".encode()[:-1], "surrogate": b"text\n\xed\xa0\x80\n",
    "overlong": b"text\n\xc0\xaf\n", "beyond unicode": b"text\n\xf5\x80\x80\x80\n",
    "png": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "zip": b"PK\x03\x04" + bytes(26), "gzip": gzip.compress(b"text\na fox\n", mtime=0),
    "pickle": b"\x80\x04\x95\x05\0\0\0", "parquet head": b"PAR1" + bytes(40) + b"PAR1", "elf": b"\x7fELF\x02\x01\x01" + bytes(9),
}  # fmt: skip
"""What no reader of any kind can use."""

JSON_VALUES = {
    "null": "null", "number": "7", "string": '"a fox"', "true": "true", "empty list": "[]", "empty object": "{}",
    "open": '{"text": "a', "two": '{"text": "a"} {"text": "b"}', "comment": '// a fox\n{"text": "a"}',
    "single quotes": "{'text': 'a'}", "trailing comma": '{"text": "a",}', "key twice": '{"text": "a", "text": "b"}',
    "half pair": '{"text": "\\ud800"}', "other half": '{"text": "a \\udfff"}', "half in key": '{"text": "a", "\\ud800": 1}',
    "nul": '{"text": "a\\u0000b"}', "deep list": "[" * DEEP + "]" * DEEP, "deep object": '{"a":' * DEEP,
    "long integer": '{"text": "a", "n": ' + "9" * 5000 + "}", "bare word": '{"text": a}', "tab in text": '{"text": "a\tb"}',
    "list of chats": json.dumps({"messages": CHAT}), "chat beside a name": json.dumps({"id": "a", "messages": CHAT}),
    "conversations": json.dumps({"conversations": [{"from": "human", "value": "Which fox?"}]}),
    "list as text": '{"text": ["a"]}', "object as text": '{"text": {"a": 1}}', "number as text": '{"text": 7}',
    "true as text": '{"text": true}', "NaN as text": '{"text": NaN}', "infinity as text": '{"text": -Infinity}',
    "null as text": '{"text": null}', "spaces as text": '{"text": " "}', "other key": '{"body": 1}',
    "two halves": '{"prompt": "a", "completion": "b"}', "two texts": '{"content": "a", "story": "b"}',
    "only names": '{"id": "a", "url": "b"}', "empty key": '{"": "a"}', "nested": '{"data": {"text": "a"}}',
}  # fmt: skip
"""JSON values that are no row of text."""

TABLES = {
    "header alone": "text\n", "header twice": "text,text\na,b\n", "open quote": 'text\n"a fox\na dog\n',
    "quote inside": 'text\n"a" fox\n', "row too long": "id,text\n1,a fox, red\n", "row too short": "id,text\n1,a fox\n2\n",
    "merged rows": 'id,text\n1,"a fox\n2,a dog\n3,a cat"\n', "merged into the next": 'id,text\n1,"a fox\n2,"a dog"\n',
    "merged at the front": 'text,label\n"a fox,1\na dog",0\n', "semicolons": "id;text\n1;a fox\n", "tabs": "id\ttext\n1\ta fox\n",
    "no header": "1,a fox\n2,a dog\n", "empty cells": "id,text\n1,\n2,\n", "blank lines": "\n\n\ntext\n",
    "bare numbers": "1\n2\n", "names alone": "id,url\na,b\n",
}  # fmt: skip

CHANGES: dict[str, dict[str, object]] = {
    **{f"answer {answer!r}": {"answer": answer} for answer in (
        3, -1, 10**400, 0.5, 1e300, float("inf"), float("nan"), True, None, "", " ", "D", "AB", "-1", "3", "²", "1e0", "0x1", "fire",
        [0], {"a": 0}, "half \\",
    )},
    **{f"choices {number}": {"choices": choices} for number, choices in enumerate((
        [], ["oil"], ["oil", "oil"], ["oil", "oil "], ["water", "oil", "oil"], ["oil", ""], ["oil", " "], ["oil", None],
        ["oil", float("nan")], [float("inf"), 1], ["oil", ["water"]], ["oil", {"a": 1}], [True, False], "oil", "", "[oil]",
        '["oil"]', '["oil", "oil"]', "['oil', 'water']", None, 7, {"A": "oil", "B": "water"}, ["oil", "a\0"], "[" * DEEP,
    ))},
    **{f"question {question!r}": {"question": question} for question in ("", " \n", None, 7, True, ["What?"], {}, "a\0")},
    **{f"{key} {value!r}": {key: value} for key, value in itertools.product(
        ("subject", "fact", "entity"), (True, float("nan"), ["oil"], {"a": 1}),
    )},
}  # fmt: skip
"""What makes a good row of questions a bad one."""


def _files() -> tuple[dict[str, bytes], dict[str, bytes]]:
    texts = {
        f"{name}.{kind}": content
        for name, content in BYTES.items()
        for kind in ("txt", "jsonl", "json", "csv", "parquet")
    }
    for name, value in JSON_VALUES.items():
        texts |= {f"{name}.jsonl": f'{{"text": "a fox"}}\n{value}\n'.encode(), f"{name}.json": f"[{value}]".encode()}
    for name in ("null as text", "spaces as text"):  # beside a good row these are dropped, and that is said
        texts[f"{name}.jsonl"] = JSON_VALUES[name].encode()
    texts |= {f"{name}.csv": table.encode() for name, table in TABLES.items()}
    whole = gzip.compress(b"a fox\n" * 1000, mtime=0)
    texts |= {f"cut at {place}.txt.gz": whole[:place] for place in (2, 5, 10, 20, len(whole) - 8, len(whole) - 1)}
    texts |= {
        f"changed at {place}.txt.gz": whole[:place] + b"\xff\xff" + whole[place + 2 :]
        for place in (0, 2, 12, len(whole) - 8)
    }
    texts |= {f"{name}.txt.gz": gzip.compress(content, mtime=0) for name, content in BYTES.items()}
    questions = {name: content for name, content in texts.items() if not name.endswith((".txt", ".txt.gz"))}
    for name, change in CHANGES.items():
        rows = [GOOD_ROW, {**GOOD_ROW, **change}]
        plain = "".join(letter if letter.isalnum() else "_" for letter in name)[:40]
        for kind, content in (("jsonl", "\n".join(map(json.dumps, rows))), ("json", json.dumps(rows))):
            questions[f"{len(questions)} {plain}.{kind}"] = content.encode()
    for key in GOOD_ROW:
        less = {name: value for name, value in GOOD_ROW.items() if name != key}
        questions[f"without {key}.jsonl"] = "\n".join(map(json.dumps, (GOOD_ROW, less))).encode()
    return texts, questions


TEXTS, QUESTIONS = _files()
