"""What was checked for which client, and how it went."""


class Table:
    """Every check is declared before the run, so that one which was never reached shows as failed."""

    def __init__(self, declared):
        self.results = {(check, client): "not reached" for check, clients in declared for client in clients}
        self.notes = []

    def record(self, check, client, fault=None):
        """None: it passed."""
        if (check, client) not in self.results:
            raise KeyError(f"undeclared check {check!r} for {client}")
        self.results[check, client] = fault
        print(f"{'ok  ' if fault is None else 'FAIL'} {client}: {check}{'' if fault is None else ': ' + fault}", flush=True)

    def note(self, text):
        self.notes.append(text)
        print(f"FAIL {text}", flush=True)

    @property
    def passed(self):
        return sum(fault is None for fault in self.results.values())

    @property
    def failed(self):
        return len(self.results) - self.passed + len(self.notes)

    def show(self, clients):
        checks = list(dict.fromkeys(check for check, _ in self.results))
        columns = [*clients, "service"]
        width = max(map(len, checks))
        print()
        print(" " * width, *(f"{client:>12}" for client in columns))
        for check in checks:
            cells = [self._cell(check, client) for client in columns]
            print(f"{check:<{width}}", *(f"{cell:>12}" for cell in cells))
        print()
        for (check, client), fault in self.results.items():
            if fault is not None:
                print(f"FAIL {client}: {check}: {fault}")
        for note in self.notes:
            print(f"FAIL {note}")

    def _cell(self, check, client):
        if (check, client) not in self.results:
            return "-"
        return "pass" if self.results[check, client] is None else "FAIL"
