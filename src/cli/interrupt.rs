//! Ctrl-C in client commands: the first one asks for an orderly end, the second one is final.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tokio::signal::unix::{SignalKind, signal};

use super::Exit;

/// Set once the person wants the command to end.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<(Mutex<bool>, Condvar)>);

impl Interrupt {
    /// Set by the first SIGINT or SIGTERM; the second one ends the process with exit code 3.
    pub fn on_signal() -> anyhow::Result<Self> {
        let interrupt = Self::default();
        let theirs = interrupt.clone();
        watch(move |count| if count == 1 { theirs.set() } else { exit(Exit::Forced) })?;
        Ok(interrupt)
    }

    /// Wakes whoever sleeps.
    pub fn set(&self) {
        let (flag, changed) = &*self.0;
        *flag.lock() = true;
        changed.notify_all();
    }

    /// Whether the end is wanted.
    pub fn is_set(&self) -> bool {
        *self.0.0.lock()
    }

    /// Sleeps for `time` or until the end is wanted, and answers whether it is.
    pub fn sleep(&self, time: Duration) -> bool {
        let (flag, changed) = &*self.0;
        let until = Instant::now() + time;
        let mut set = flag.lock();
        while !*set {
            if changed.wait_until(&mut set, until).timed_out() {
                break;
            }
        }
        *set
    }
}

/// Ends the process cleanly at the first SIGINT or SIGTERM, for commands that have nothing to finish.
pub fn exit_on_signal() -> anyhow::Result<()> {
    watch(|_| exit(Exit::Clean))
}

fn exit(exit: Exit) {
    std::process::exit(exit.code().into());
}

/// Calls `on` with the number of each signal, from a thread of its own.
fn watch(on: impl Fn(usize) + Send + 'static) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let (mut interrupt, mut terminate) = {
        let _entered = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        runtime.block_on(async {
            for count in 1.. {
                std::future::poll_fn(|context| {
                    if interrupt.poll_recv(context).is_ready() {
                        return std::task::Poll::Ready(());
                    }
                    terminate.poll_recv(context).map(|_| ())
                })
                .await;
                on(count);
            }
        });
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleeper_is_woken_by_the_interrupt() {
        let interrupt = Interrupt::default();
        assert!(!interrupt.sleep(Duration::from_millis(1)));
        let theirs = interrupt.clone();
        let sleeper = std::thread::spawn(move || theirs.sleep(Duration::from_secs(3600)));
        interrupt.set();
        assert!(sleeper.join().expect("no panic"));
        assert!(interrupt.is_set());
    }
}
