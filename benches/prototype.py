"""The prototype that teams have before Plimsoll: FastAPI, a deque, and a generator that looks every half second.

The load generator runs it when python3 has fastapi and uvicorn; it prints one line with its address.
"""

import asyncio
import json
import socket
import sys
from collections import deque
from threading import Thread

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse

app = FastAPI()
events = deque(maxlen=5000)
published = 0


@app.post("/api/telemetry/events", status_code=201)
async def publish(request: Request):
    global published
    body = await request.body()
    if request.headers.get("content-type") == "application/x-ndjson":
        batch = [json.loads(line) for line in body.splitlines() if line]
    else:
        batch = json.loads(body)
        batch = batch if isinstance(batch, list) else [batch]
    for event in batch:
        published += 1
        event["id"] = f"{published:013}-0"
        events.append(event)
    return {"id": f"{published:013}-0", "duplicate": False}


@app.get("/api/telemetry/stream")
async def stream():
    async def generate():
        seen = published
        yield "retry: 1000\n\n"
        while True:
            fresh = min(published - seen, len(events))
            seen = published
            # appended meanwhile or not, these are the ones that were there
            for event in list(events)[len(events) - fresh :]:
                yield f"id: {event['id']}\ndata: {json.dumps(event, separators=(',', ':'))}\n\n"
            await asyncio.sleep(0.5)

    return StreamingResponse(generate(), media_type="text/event-stream")


def end_with_parent():
    sys.stdin.read()
    server.should_exit = server.force_exit = True


# with the protocol named, asyncio turns Nagle's delay off, as it does for the sockets that it makes itself
listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
listener.bind(("127.0.0.1", 0))
listener.listen(4096)
# a publisher may pause for longer than the default of five seconds
server = uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False, timeout_keep_alive=75))
Thread(target=end_with_parent, daemon=True).start()
print(f"ready on http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
server.run(sockets=[listener])
