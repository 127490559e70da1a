//! The `plimsoll` program: the service and its command line.

mod cli;

/// Gives memory back after a burst of clients, which the C library's allocator keeps.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    cli::run()
}
