"""A server that streams answers at given times, and /tokenize beside it. One thread, real sockets.

    with StreamingServer(lambda body, number: steady(0.5, 0.05, 10)) as server: ...

In a process of its own, where the client's work doesn't delay it, it is ``python streaming_server.py`` with a JSON list
of ``steady``'s arguments; it prints its address.

An answer is a list of (seconds since the request came, bytes); it ends the connection after its last one where ``cut``.
"""

import asyncio
import json
import re
import sys
import threading
from dataclasses import dataclass


@dataclass
class Answer:
    parts: list[tuple[float, bytes]]
    status: int = 200
    cut: bool = False


def event(value):
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def usage(num_prompt, num_tokens):
    return {
        "prompt_tokens": num_prompt,
        "completion_tokens": num_tokens,
        "total_tokens": num_prompt + num_tokens,
    }


def chunk(text, finish_reason=None, **more):
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish_reason}
    return {"object": "chat.completion.chunk", "choices": [choice], **more}


def steady(ttft_s, tpot_s, num_tokens, per_chunk=1, continuous=True, num_prompt=32):
    """``per_chunk`` tokens at once, the first at ``ttft_s``; before them the role, after them usage, as vLLM does."""
    parts = [(ttft_s / 10, event(chunk("", **({"usage": usage(num_prompt, 0)} if continuous else {}))))]
    for sent in range(per_chunk, num_tokens + 1, per_chunk):
        finish = "length" if sent == num_tokens else None
        told = {"usage": usage(num_prompt, sent)} if continuous else {}
        parts.append(
            (ttft_s + (sent - per_chunk) * tpot_s, event(chunk("word " * per_chunk, finish, **told)))
        )
    end = ttft_s + num_tokens * tpot_s
    parts.append((end, event({"choices": [], "usage": usage(num_prompt, num_tokens)})))
    return Answer([*parts, (end, b": bye\n\ndata: [DONE]\n\n")])


def count_tokens(text):
    """Two for long words, one for short ones and for signs, and four of a chat template."""
    return 4 + sum(1 + (len(word) > 5) for word in re.findall(r"\w+|[^\w\s]", text))


class StreamingServer:
    """Context manager; ``bodies`` holds what was asked, in order of arrival."""

    def __init__(self, answer, has_tokenize=True):
        self._answer = answer
        self._has_tokenize = has_tokenize
        self.bodies = []

    def __enter__(self):
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        started = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=256), self._loop
        )
        self._server = started.result()
        port = self._server.sockets[0].getsockname()[1]
        self.base_url = f"http://127.0.0.1:{port}/v1"
        return self

    def __exit__(self, *_):
        async def stop():
            self._server.close()
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()

        asyncio.run_coroutine_threadsafe(stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    async def _serve(self, reader, writer):
        try:
            while line := await reader.readline():
                length = 0
                while (header := await reader.readline()).strip():
                    name, _, value = header.partition(b":")
                    if name.lower() == b"content-length":
                        length = int(value)
                came = self._loop.time()
                if line.startswith(b"GET"):
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
                    await writer.drain()
                    continue
                body = json.loads(await reader.readexactly(length))
                if line.split()[1].endswith(b"/tokenize"):
                    self._tokenize(writer, body)
                elif not await self._stream(writer, body, came):
                    return
                await writer.drain()
        except ConnectionError:
            return  # a client that gave up is what some tests are about
        finally:
            writer.close()

    def _tokenize(self, writer, body):
        said = body["messages"][0]["content"] if "messages" in body else body["prompt"]
        content = json.dumps({"count": count_tokens(said)}).encode()
        status = b"200 OK" if self._has_tokenize else b"404 Not Found"
        writer.write(b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status, len(content), content))

    async def _stream(self, writer, body, came):
        self.bodies.append(body)
        answer = self._answer(body, len(self.bodies))
        writer.write(b"HTTP/1.1 %d X\r\nTransfer-Encoding: chunked\r\n\r\n" % answer.status)
        for time_s, data in answer.parts:
            await asyncio.sleep(came + time_s - self._loop.time())
            writer.write(b"%x\r\n%s\r\n" % (len(data), data))
        if not answer.cut:
            writer.write(b"0\r\n\r\n")
        return not answer.cut


if __name__ == "__main__":
    said = steady(*json.loads(sys.argv[1]))
    with StreamingServer(lambda *_: said) as running:
        print(running.base_url, flush=True)
        sys.stdin.read()
