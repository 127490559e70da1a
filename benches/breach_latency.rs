//! From the arrival of the event that causes a breach to the breach at an SSE client, with 10,000 other events a second.
//!
//! `cargo bench --bench breach_latency` starts the service as a process of its own (fsync, default settings), posts the load
//! as arrays on a schedule that does not wait for answers, and lets a daily loss go over its limit and back again
//! `PLIMSOLL_BREACHES` times (300). The time runs from right before the causing post is sent to the client's receipt of the
//! block, so it includes the post itself, its commit, the finding's commit and both ways through the kernel. One table and
//! one line of JSON.

use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// Events of the load a second, and of one post.
const RATE: u64 = 10_000;
const BATCH: u64 = 100;
/// How long a breach may take at most before the run is given up.
const PATIENCE: Duration = Duration::from_secs(10);

struct Service(Child);

impl Drop for Service {
    fn drop(&mut self) {
        // it may be gone already
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(folder: &std::path::Path) -> (Service, String) {
    let config = folder.join("config.yaml");
    std::fs::write(&config, "risk:\n  max_daily_loss_abs: 1000\n  max_daily_drawdown_pct: 99\n").expect("written");
    let mut command = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
    command.args(["serve", "--listen", "127.0.0.1:0", "--config"]).arg(config).arg("--artifacts").arg(folder.join("artifacts"));
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the service starts");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("stdout")).read_line(&mut line).expect("a ready line");
    let address = line.trim().rsplit_once("http://").expect("an address").1.to_owned();
    (Service(child), address)
}

/// Posts over one connection that is kept.
struct Poster(BufReader<TcpStream>, String);

impl Poster {
    fn new(address: &str) -> Self {
        let stream = TcpStream::connect(address).expect("connected");
        stream.set_nodelay(true).expect("a socket");
        Self(BufReader::new(stream), address.to_owned())
    }

    fn post(&mut self, body: &str) {
        let head = format!(
            "POST /api/telemetry/events HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            self.1,
            body.len()
        );
        self.0.get_mut().write_all((head + body).as_bytes()).expect("sent");
        let (mut status, mut length) = (String::new(), 0);
        self.0.read_line(&mut status).expect("a status");
        assert!(status.contains(" 201 "), "{status}");
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).expect("a header");
            if line.trim().is_empty() {
                break;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().expect("a length");
            }
        }
        self.0.read_exact(&mut vec![0; length]).expect("a body");
    }
}

/// The times at which breaches and their ends arrive at an SSE client.
fn listen(address: &str) -> Receiver<(bool, Instant)> {
    let mut stream = TcpStream::connect(address).expect("connected");
    let request =
        format!("GET /api/telemetry/stream?event_type=risk_breach,risk_breach_cleared HTTP/1.1\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("sent");
    let (sender, arrivals) = channel();
    let mut lines = BufReader::new(stream).lines();
    // the head of the stream: it is subscribed when its first id is there
    while !lines.next().expect("open").expect("a line").starts_with("id:") {}
    std::thread::spawn(move || {
        for line in lines.map_while(Result::ok).filter(|line| line.starts_with("data:")) {
            if sender.send((line.contains("\"risk_breach\""), Instant::now())).is_err() {
                return;
            }
        }
    });
    arrivals
}

fn load(address: &str, stop: &Arc<AtomicBool>, sent: &Arc<AtomicU64>) -> Vec<std::thread::JoinHandle<()>> {
    let one = r#"{"type":"indicator_event","source":"load","payload":{"symbol":"NIFTY24FUT","timeframe":"1m","indicators":{"ema9":24639.55,"ema20":24682.94,"rsi14":6.71,"vwap":24331.6},"strategy":"EMA_20_50"}}"#;
    let fill = r#"{"type":"order_event","source":"load","payload":{"order_id":"1","symbol":"NIFTY24FUT","side":"BUY","status":"filled","qty":1,"price":100}}"#;
    let body: Arc<str> = format!("[{},{fill}]", vec![one; BATCH as usize - 1].join(",")).into();
    let began = Instant::now();
    let next = Arc::new(AtomicU64::new(0));
    let worker = |_| {
        let (address, body, stop, sent, next) =
            (address.to_owned(), Arc::clone(&body), Arc::clone(stop), Arc::clone(sent), Arc::clone(&next));
        std::thread::spawn(move || {
            let mut poster = Poster::new(&address);
            while !stop.load(Ordering::Relaxed) {
                // by the schedule, whoever is free: an answer that is late delays nobody else's post
                let due = began
                    + Duration::from_secs(1) * u32::try_from(next.fetch_add(1, Ordering::Relaxed)).expect("few")
                        / u32::try_from(RATE / BATCH).expect("few");
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                poster.post(&body);
                sent.fetch_add(BATCH, Ordering::Relaxed);
            }
        })
    };
    (0..8).map(worker).collect()
}

fn main() {
    // criterion's flags mean nothing here; being only tried, it does nothing
    if std::env::args().any(|flag| flag == "--test" || flag == "--list") {
        return;
    }
    let count = std::env::var("PLIMSOLL_BREACHES").ok().and_then(|count| count.parse().ok()).unwrap_or(300_usize);
    let folder = tempfile::tempdir().expect("a folder");
    let (_service, address) = start(folder.path());
    let arrivals = listen(&address);
    let (stop, sent) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
    let workers = load(&address, &stop, &sent);
    let mut poster = Poster::new(&address);
    let state =
        |pnl: i64| format!(r#"{{"type":"performance_update","source":"fno","payload":{{"metrics":{{"realized_pnl":{pnl}}}}}}}"#);
    std::thread::sleep(Duration::from_secs(2));
    let (began, before) = (Instant::now(), sent.load(Ordering::Relaxed));
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        let asked = Instant::now();
        poster.post(&state(-1_001));
        let (is_breach, arrived) = arrivals.recv_timeout(PATIENCE).expect("the breach arrives");
        assert!(is_breach, "the breach comes first");
        times.push(arrived.duration_since(asked));
        poster.post(&state(0));
        let (is_breach, _) = arrivals.recv_timeout(PATIENCE).expect("its end arrives");
        assert!(!is_breach, "its end comes next");
    }
    let rate = (sent.load(Ordering::Relaxed) - before) as f64 / began.elapsed().as_secs_f64();
    stop.store(true, Ordering::Relaxed);
    workers.into_iter().for_each(|worker| worker.join().expect("a worker"));
    times.sort_unstable();
    let at = |share: f64| {
        let index = ((times.len() as f64 * share).ceil() as usize).clamp(1, times.len()) - 1;
        times.get(index).map_or(0.0, |time| time.as_secs_f64() * 1e3)
    };
    let (p50, p90, p99, max) = (at(0.5), at(0.9), at(0.99), at(1.0));
    println!("breaches  events/s    p50 ms    p90 ms    p99 ms    max ms");
    println!("{count:8}  {rate:8.0}  {p50:8.2}  {p90:8.2}  {p99:8.2}  {max:8.2}");
    println!(
        r#"{{"breaches":{count},"events_per_second":{rate:.0},"p50_ms":{p50:.3},"p90_ms":{p90:.3},"p99_ms":{p99:.3},"max_ms":{max:.3}}}"#
    );
}
