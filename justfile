# Conveniences; nothing here is needed to build or run.

# what CI checks
check:
    .ci/check

# the tests, in parallel processes
test:
    cargo test

# the service with simulated engines
demo:
    cargo run -- demo

# kill -9 under load, 50 times
crash:
    PLIMSOLL_CRASH_ROUNDS=50 cargo test --test api crash -- --nocapture

# 10,000 reconnects under load, and 10,000 idle clients
soak:
    PLIMSOLL_SEAM_RECONNECTS=10000 PLIMSOLL_IDLE_CLIENTS=10000 cargo test --test api -- --nocapture seam idle_clients

# curl, a browser, Python and npm clients against the real service
clients:
    tests/clients/run

# the criterion benches of the hot path
bench:
    cargo bench --bench hot_path

# the whole service under load, beside its baselines; `just bench-load --full` takes about 15 minutes
bench-load *args:
    cargo bench --bench load -- {{args}}
