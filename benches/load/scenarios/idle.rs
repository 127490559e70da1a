//! Clients that only wait: what one costs in memory.

use anyhow::Result;

use super::{Bench, Measured};
use crate::audience::{Audience, Wants};
use crate::service::{Kind, Server};

const NAME: &str = "idle";
const CASE: &str = "idle clients";

pub fn run(bench: &mut Bench) {
    for kind in Kind::ALL {
        if kind == Kind::Prototype {
            bench.left_out(NAME, CASE, kind, "not run: with 100 clients it is seconds behind already".to_owned());
            continue;
        }
        let measured = measure(bench.plan.many_clients, kind);
        bench.add(NAME, CASE, kind.name(), measured);
    }
}

fn measure(clients: usize, kind: Kind) -> Result<Measured> {
    let server = Server::start(kind, &[])?;
    // what the first clients bring about is not of any one client
    let few = Audience::gather(server.address, 50, Wants::ALL)?;
    let before = server.process.memory()?;
    let many = Audience::gather(server.address, clients, Wants { query: "event_type=never", ..Wants::ALL })?;
    let each = (server.process.memory()? - before) / clients as f64;
    drop((few, many));
    Ok(vec![("KiB/client", each), ("clients", clients as f64)].into())
}
