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

# the metrics, alerts and dashboard, by Prometheus's own tool
metrics:
    .ci/metrics

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

# the OpenAPI document in the repository, from the code
openapi:
    PLIMSOLL_UPDATE_GOLDEN=1 cargo test --lib openapi

# the running service against its own document (schemathesis)
openapi-check:
    .ci/openapi

# the bundles of the pages /docs and /redoc, in the versions that are pinned there
docs-assets:
    assets/docs/refresh
