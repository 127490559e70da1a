#!/usr/bin/env python3
"""Runs every command of README.md, as a newcomer would paste it.

The first block starts the demo, which runs until the end; `cargo test` is run by .ci/check. What streams without end
(curl -N, the Python loop) is ended after it has shown an event.
"""
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import threading
import venv

ROOT = pathlib.Path(__file__).resolve().parent.parent
DEADLINE = 120


def blocks():
    text = (ROOT / "README.md").read_text()
    return re.findall(r"```(sh|python)\n(.*?)```", text, re.S)


def until(process, pattern):
    """Reads the process's output until a line matches; a timer ends it if none ever does."""
    timer = subprocess.Popen(["sh", "-c", f"sleep {DEADLINE * 5}; kill -9 -{process.pid}"], start_new_session=True)
    try:
        for line in process.stdout:
            if re.search(pattern, line):
                return line
        sys.exit(f"ended without {pattern!r}")
    finally:
        os.killpg(timer.pid, signal.SIGKILL)
        timer.wait()


def start(command, **options):
    print(f"$ {command}", flush=True)
    return subprocess.Popen(
        command, shell=isinstance(command, str), cwd=ROOT, text=True, stdout=subprocess.PIPE, start_new_session=True, **options
    )


def stop(process, how=signal.SIGTERM):
    os.killpg(process.pid, how)
    process.wait(DEADLINE)


def run(command):
    """Runs one command to its end; a curl must be answered with success."""
    command = re.sub(r"^curl -s ", "curl -sS --fail-with-body ", command)
    process = start(command)
    output, _ = process.communicate(timeout=DEADLINE)
    print(output[:300])
    if process.returncode:
        sys.exit(f"exit code {process.returncode}")


def commands(block):
    """The commands of a shell block, without comments, continued lines joined."""
    lines = [line for line in block.splitlines() if line and not line.startswith("#")]
    command = ""
    for line in lines:
        command += line + "\n"
        # a command goes on while a line ends in a backslash or a quote is open
        if not line.endswith("\\") and command.count("'") % 2 == 0:
            yield command.strip()
            command = ""


def main():
    shell = [block for language, block in blocks() if language == "sh"]
    python = [block for language, block in blocks() if language == "python"]
    assert shell[0].strip() == "cargo run -- demo" and shell[1].strip() == "cargo test", "README's two commands come first"
    demo = start(shell[0].strip())
    tried = 0
    try:
        print(until(demo, "ready on http://127.0.0.1:8765"))
        # nobody looks, but what the demo shows must not pile up
        threading.Thread(target=demo.stdout.read, daemon=True).start()
        for command in (command for block in shell[2:] for command in commands(block)):
            if "curl -N" in command:
                stream = start(command)
                print(until(stream, "^data: "))
                stop(stream)
            else:
                run(command)
            tried += 1
        with tempfile.TemporaryDirectory() as folder:
            venv.create(folder, with_pip=True)
            subprocess.run([f"{folder}/bin/pip", "install", "-q", "--disable-pip-version-check", "requests"], check=True)
            for program in python:
                loop = start([f"{folder}/bin/python", "-c", program])
                print(until(loop, r"\{"))
                stop(loop)
                tried += 1
    finally:
        stop(demo, signal.SIGINT)
    print(f"{tried} passed, 0 failed")


main()
