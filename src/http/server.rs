//! The HTTP server: actix's, over our own [`Socket`], with one SSE fan-out a worker.

use std::future::ready;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;

use actix_http::HttpService;
use actix_server::Server;
use actix_service::{ServiceFactoryExt as _, fn_service, map_config};
use actix_web::dev::AppConfig;
use actix_web::middleware::from_fn;
use actix_web::rt::net::TcpStream;
use actix_web::{App, web};
use actix_web_lab::middleware::{CatchPanic, PanicReporter};
use socket2::{Domain, Type};

use super::connection::{Connections, Socket};
use super::openapi::Document;
use super::state::State;
use super::{edge, problem, routes};
use crate::actors::sse_fanout::FanoutHandle;
use crate::actors::supervision::Panics;

/// Connections that wait to be accepted: all dashboards come back at once after a restart. The kernel may allow fewer.
const BACKLOG: i32 = 4_096;

/// Listens on `address`, with room for many connections that are yet to be accepted.
///
/// # Errors
/// The address is not free, or not this machine's.
pub fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // a restart shall not wait for connections of the service before it
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Builds the server on `listener`; each worker gets its fan-out from `fanout`, called on its own thread.
///
/// # Errors
/// The listener cannot be used.
pub fn build(
    listener: TcpListener,
    state: web::Data<State>,
    fanout: impl Fn() -> FanoutHandle + Send + Clone + 'static,
) -> std::io::Result<Server> {
    let http = &state.config.http;
    let builder = Server::build()
        .workers(http.workers)
        .max_concurrent_connections(http.max_connections)
        // the shutdown has its own timeouts, which are shorter
        .shutdown_timeout(http.shutdown_timeout.as_secs() + 60)
        .disable_signals();
    let document = web::Data::new(Document::new());
    let builder = builder.listen("plimsoll", listener, move || {
        let http = &state.config.http;
        let connections = Rc::<Connections>::default();
        let (closing, told) = (Arc::clone(&state.closing).given(), Rc::clone(&connections));
        actix_web::rt::spawn(async move {
            closing.await;
            told.close();
        });
        let asked = Rc::clone(&connections);
        let app = App::new()
            .app_data(state.clone())
            .app_data(document.clone())
            .app_data(web::Data::new(fanout()))
            .app_data(state.ingest.recorders())
            .app_data(Rc::clone(&connections))
            .wrap(from_fn(edge::pass))
            .wrap(count_panics(state.panics.clone()))
            .wrap(CatchPanic::default())
            .wrap(from_fn(problem::translate))
            .configure(routes);
        let service = HttpService::build()
            .keep_alive(http.keep_alive)
            .client_request_timeout(http.header_timeout)
            // an idle engine's connection shall not hold a stop; one with a request under way ends with its answer
            .graceful_shutdown_signal(move || asked.closing())
            // a closed client shall be gone, not half there
            .h1_allow_half_closed(false)
            .finish(map_config(app, |()| AppConfig::default()));
        let write_timeout = http.write_timeout;
        fn_service(move |stream: TcpStream| {
            let socket = Socket::new(stream, write_timeout, Rc::clone(&connections));
            let peer = socket.peer();
            ready(Ok((socket, actix_http::Protocol::Http1, peer)))
        })
        .and_then(service)
    })?;
    Ok(builder.run())
}

/// Counts the panics of routes; the request fails, the worker goes on.
pub(super) fn count_panics(panics: Panics) -> PanicReporter {
    PanicReporter::new(move |panic| panics.contained("http", panic))
}
