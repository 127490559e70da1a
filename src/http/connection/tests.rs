//! Chunks past the buffers of a response, over real sockets.

use std::future::poll_fn;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncWrite as _;
use tokio::net::TcpListener;

use super::*;

/// A connection, and its client's end.
async fn connected() -> (Socket, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let client = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("connected");
    let (stream, _) = listener.accept().await.expect("accepted");
    (Socket::new(stream, Duration::from_secs(60), Rc::default()), client)
}

async fn write(socket: &mut Socket, bytes: &[u8]) -> usize {
    poll_fn(|cx| Pin::new(&mut *socket).poll_write(cx, bytes)).await.expect("written")
}

async fn read(client: &TcpStream, count: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < count {
        client.readable().await.expect("open");
        let mut piece = vec![0; count - bytes.len()];
        match client.try_read(&mut piece) {
            Ok(0) => break,
            Ok(count) => bytes.extend_from_slice(&piece[..count]),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
        }
    }
    bytes
}

/// Whether `chunk` was sent whole; `None` if it was not taken.
async fn send(socket: &Socket, chunk: &Bytes) -> Option<bool> {
    poll_fn(|cx| Poll::Ready(socket.control.send(chunk, cx).map(|poll| poll.map(|sent| sent.expect("sent")).is_ready()))).await
}

#[actix_web::test]
async fn chunks_are_taken_only_behind_all_that_the_response_has_buffered() {
    let (mut socket, client) = connected().await;
    let chunk = Bytes::from_static(b"1\r\nx\r\n");
    assert_eq!(send(&socket, &chunk).await, None, "nothing was written, so something may be buffered");
    assert_eq!(write(&mut socket, b"head ").await, 5);
    assert_eq!(send(&socket, &chunk).await, None, "nobody said that the response has chunks");
    socket.control.allow_chunks(true);
    assert_eq!(send(&socket, &chunk).await, None, "its head may be buffered");
    assert_eq!(write(&mut socket, b"first ").await, 6);
    assert_eq!(send(&socket, &chunk).await, Some(true));
    socket.control.buffered();
    assert_eq!(send(&socket, &chunk).await, None, "what was yielded comes first");
    assert_eq!(write(&mut socket, b"yielded ").await, 8);
    assert_eq!(send(&socket, &chunk).await, Some(true));
    assert_eq!(read(&client, 31).await, b"head first 1\r\nx\r\nyielded 1\r\nx\r\n");
    socket.control.released();
    assert_eq!(send(&socket, &chunk).await, None, "the next response may be another one");
}

#[actix_web::test]
async fn a_chunk_that_does_not_fit_is_sent_on_when_the_client_reads() {
    let (mut socket, client) = connected().await;
    socket.control.limit(StreamLimits { send_buffer: 4096, user_timeout: Duration::from_secs(60) });
    socket.control.allow_chunks(true);
    write(&mut socket, b"h").await;
    let large = Bytes::from((0..16_u32 << 20).map(|n| (n % 251) as u8).collect::<Vec<_>>());
    assert_eq!(send(&socket, &large).await, Some(false), "the client has not read");
    let taken = socket.control.taken();
    let control = Rc::clone(&socket.control);
    let rest = async {
        poll_fn(|cx| control.flush(cx)).await.expect("sent");
        control.taken()
    };
    let (all, received) = futures_util::future::join(rest, read(&client, 1 + large.len())).await;
    assert!(taken < all, "{taken} {all}");
    assert_eq!(all, 1 + large.len() as u64);
    assert!(received[1..] == large[..], "in order, once each");
}

#[actix_web::test]
async fn a_connection_that_was_cut_or_has_ended_takes_no_chunk() {
    let (mut socket, _client) = connected().await;
    socket.control.allow_chunks(true);
    write(&mut socket, b"h").await;
    let control = Rc::clone(&socket.control);
    let chunk = Bytes::from_static(b"1\r\nx\r\n");
    control.cut();
    let cut = poll_fn(|cx| Poll::Ready(control.send(&chunk, cx))).await;
    assert!(matches!(cut, Some(Poll::Ready(Err(error))) if error.kind() == io::ErrorKind::ConnectionAborted));
    drop(socket);
    control.cut.set(false);
    let ended = poll_fn(|cx| Poll::Ready(control.send(&chunk, cx))).await;
    assert!(matches!(ended, Some(Poll::Ready(Err(error))) if error.kind() == io::ErrorKind::NotConnected));
}

#[actix_web::test]
async fn of_two_connections_of_one_peer_the_older_one_is_cut() {
    let anywhere = TcpListener::bind("0.0.0.0:0").await.expect("a port");
    let port = anywhere.local_addr().expect("bound").port();
    let connections = Rc::<Connections>::default();
    let mut sockets = Vec::new();
    let mut from = None;
    for host in [[127, 0, 0, 1], [127, 0, 0, 2]] {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
        socket.set_reuse_address(true).expect("reusable");
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], from.unwrap_or(0))).into()).expect("bound");
        socket.connect(&SocketAddr::from((host, port)).into()).expect("connected");
        from = socket.local_addr().expect("bound").as_socket().map(|address| address.port());
        let (stream, _) = anywhere.accept().await.expect("accepted");
        sockets.push((Socket::new(stream, Duration::from_secs(60), Rc::clone(&connections)), socket));
    }
    let cut: Vec<_> = sockets.iter().map(|(socket, _)| socket.control.cut.get()).collect();
    assert_eq!(cut, [true, false]);
}
