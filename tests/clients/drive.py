"""Real SSE clients against the real service: receive, lose the connection, come back, resume.

usage: drive.py PLIMSOLL_BINARY WORK_FOLDER [SCENARIO ...]
"""

import pathlib
import shutil
import signal
import sys

import scenarios
from service import Service
from streams import CLIENTS, Programs
from table import Table


def main(binary, folder, names):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    chosen = [scenario for scenario in scenarios.ALL if not names or scenario.__name__ in names]
    table = Table([(check, clients) for scenario in chosen for check, clients in scenario.checks])
    for scenario in chosen:
        own = folder / scenario.__name__
        own.mkdir()
        run = scenarios.Run(table, Programs(own), lambda own=own, **settings: Service(binary, own, **settings))
        try:
            scenario(run)
        except Exception as error:  # whatever it is: the checks that were not reached count as failed
            table.note(f"{scenario.__name__} stopped: {error!r}")
        finally:
            run.close()
    table.show(CLIENTS)
    print(f"{table.passed} passed, {table.failed} failed")
    return 1 if table.failed else 0


if __name__ == "__main__":
    # a stop from outside still ends every process that was started
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    sys.exit(main(pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve(), sys.argv[3:]))
