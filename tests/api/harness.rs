//! Starts the real binary and speaks to it: `spawn_app` and the verbs of `App`.

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::http::{Connection, JSON, NDJSON, PATIENCE, Response};
use crate::sse::Stream;

pub const EVENTS: &str = "/api/telemetry/events";
pub const STREAM: &str = "/api/telemetry/stream";

/// A configuration file as pairs of a dotted key and a YAML value: `("sse.heartbeat", "200ms")`.
pub type Settings<'a> = &'a [(&'a str, &'a str)];

/// A process with its output being read, so that it never blocks on a full pipe.
pub struct Process {
    pub child: Child,
    /// Lines of stdout; closed when the process is gone.
    pub lines: Receiver<String>,
    log: Arc<Mutex<Vec<String>>>,
    log_reader: Option<JoinHandle<()>>,
}

impl Process {
    pub fn start(mut command: Command) -> Process {
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("PLIMSOLL_")) {
            command.env_remove(name);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary starts");
        let log = Arc::new(Mutex::new(Vec::new()));
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let kept = Arc::clone(&log);
        let log_reader = std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                kept.lock().unwrap().push(line);
            }
        });
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Process { child, lines, log, log_reader: Some(log_reader) }
    }

    /// Waits for the end of the process, and kills it when that does not come.
    #[track_caller]
    pub fn exit(&mut self, patience: Duration) -> ExitStatus {
        let deadline = Instant::now() + patience;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(_) => {}
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => {
                    let status = self.child.wait().unwrap();
                    // what it said last may still be on its way
                    self.log_reader.take().into_iter().for_each(|reader| reader.join().unwrap());
                    return status;
                }
                Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {
                    self.child.kill().unwrap();
                    panic!("the process did not end within {patience:?}\n{}", self.log());
                }
            }
        }
    }

    pub fn log(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }

    pub fn signal(&self, name: &str) {
        let sent = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.child.id())]).status().unwrap();
        assert!(sent.success(), "SIG{name} was not delivered");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            drop(self.child.kill());
            drop(self.child.wait());
        }
        if std::thread::panicking() {
            let log = self.log.lock().map(|lines| lines.clone()).unwrap_or_default();
            let from = log.len().saturating_sub(200);
            eprintln!("--- log of the service, last {} of {} lines", log.len() - from, log.len());
            eprintln!("{}", log[from..].join("\n"));
        }
    }
}

/// How to start the service once more.
struct Launch {
    listen: String,
    config: PathBuf,
    artifacts: PathBuf,
    survives_full_disk: bool,
}

impl Launch {
    fn start(&self) -> (Process, SocketAddr) {
        let binary = env!("CARGO_BIN_EXE_plimsoll");
        let mut command = if self.survives_full_disk {
            // A write past RLIMIT_FSIZE must fail like one on a full disk, not kill the process.
            let mut shell = Command::new("sh");
            shell.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\"", binary]);
            shell
        } else {
            Command::new(binary)
        };
        command.args(["serve", "--listen", &self.listen]);
        command.arg("--config").arg(&self.config).arg("--artifacts").arg(&self.artifacts);
        let process = Process::start(command);
        let Ok(line) = process.lines.recv_timeout(PATIENCE) else { panic!("the service did not say that it is ready") };
        let said = format!("plimsoll {} ready on http://", env!("CARGO_PKG_VERSION"));
        let address = line.strip_prefix(&said).unwrap_or_else(|| panic!("not a ready line: {line:?}"));
        (process, address.parse().expect("an address in the ready line"))
    }
}

/// A running service with a folder of its own.
pub struct App {
    pub process: Process,
    pub address: SocketAddr,
    launch: Launch,
    folder: TempDir,
}

/// A service on a free port, with these settings over the built-in ones.
#[track_caller]
pub fn spawn_app(settings: Settings<'_>) -> App {
    spawn(settings, "127.0.0.1:0".to_owned(), false)
}

/// A service that comes back on the same port after a restart.
#[track_caller]
pub fn spawn_app_on_a_stable_port(settings: Settings<'_>) -> App {
    spawn(settings, format!("127.0.0.1:{}", stable_port()), false)
}

/// A service for which a file size limit behaves like a full disk.
#[track_caller]
pub fn spawn_app_that_survives_a_full_disk(settings: Settings<'_>) -> App {
    spawn(settings, "127.0.0.1:0".to_owned(), true)
}

#[track_caller]
fn spawn(settings: Settings<'_>, listen: String, survives_full_disk: bool) -> App {
    let folder = tempfile::tempdir().unwrap();
    let launch = Launch {
        listen,
        config: write_config(folder.path(), settings),
        artifacts: folder.path().join("artifacts"),
        survives_full_disk,
    };
    let (process, address) = launch.start();
    App { process, address, launch, folder }
}

/// Writes a configuration file into `folder`.
pub fn write_config(folder: &Path, settings: Settings<'_>) -> PathBuf {
    let mut sections = std::collections::BTreeMap::<&str, String>::new();
    for (key, value) in settings {
        let (section, name) = key.split_once('.').expect("section.key");
        sections.entry(section).or_default().push_str(&format!("  {name}: {value}\n"));
    }
    let yaml: String = sections.iter().map(|(section, lines)| format!("{section}:\n{lines}")).collect();
    let path = folder.join("config.yaml");
    std::fs::write(&path, yaml).unwrap();
    path
}

/// A free port below the range that the kernel gives to outgoing connections: nobody takes it between two starts.
fn stable_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = u16::try_from(std::process::id() % 10_000).unwrap();
    (0..10_000)
        .map(|_| 12_000 + (first + NEXT.fetch_add(1, Ordering::Relaxed)) % 10_000)
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("a free port")
}

impl App {
    pub fn connect(&self) -> Connection {
        Connection::open(self.address).expect("the service takes connections")
    }

    pub fn get(&self, target: &str) -> Response {
        self.connect().exchange("GET", target, &[("Connection", "close")], b"").expect("an answer")
    }

    pub fn post(&self, target: &str, kind: &str, body: &[u8]) -> Response {
        let headers = [("Connection", "close"), ("Content-Type", kind)];
        self.connect().exchange("POST", target, &headers, body).expect("an answer")
    }

    /// Posts one object or an array as it is.
    pub fn post_json(&self, body: &str) -> Response {
        self.post(EVENTS, JSON, body.as_bytes())
    }

    /// Publishes one event and gives its id.
    #[track_caller]
    pub fn publish(&self, event: &Value) -> String {
        let answer = self.post_json(&event.to_string()).expect(201);
        answer["id"].as_str().expect("an id").to_owned()
    }

    /// Publishes good events as one array.
    #[track_caller]
    pub fn publish_many(&self, events: &[Value]) -> Value {
        let answer = self.post_json(&json!(events).to_string()).expect(201);
        assert_eq!(answer["rejected"], json!([]), "{answer}");
        answer
    }

    pub fn ndjson(&self, lines: &str) -> Response {
        self.post(EVENTS, NDJSON, lines.as_bytes())
    }

    /// The answer of `GET /api/telemetry/events`.
    #[track_caller]
    pub fn events(&self, query: &str) -> Value {
        self.get(&format!("{EVENTS}?{query}")).expect(200)
    }

    /// Every event that the service has, oldest first, page by page.
    #[track_caller]
    pub fn all_events(&self, query: &str) -> Vec<Value> {
        let mut all = Vec::new();
        self.each_page(query, |events| all.extend_from_slice(events));
        all
    }

    /// Every id that the service has, oldest first.
    #[track_caller]
    pub fn all_ids(&self, query: &str) -> Vec<String> {
        let mut all = Vec::new();
        self.each_page(query, |events| all.extend(events.iter().map(|event| event["id"].as_str().unwrap().to_owned())));
        all
    }

    #[track_caller]
    fn each_page(&self, query: &str, mut visit: impl FnMut(&[Value])) {
        let mut target = format!("{EVENTS}?order=asc&limit=1000&{query}");
        let mut connection = self.connect();
        loop {
            let page = connection.exchange("GET", &target, &[], b"").expect("a page").expect(200);
            visit(page["events"].as_array().expect("events"));
            match page["next"].as_str() {
                Some(next) => target = format!("{EVENTS}?order=asc&limit=1000&since_id={next}&{query}"),
                None => return,
            }
        }
    }

    #[track_caller]
    pub fn stats(&self) -> Value {
        self.get("/api/telemetry/stats").expect(200)
    }

    pub fn subscribers(&self) -> u64 {
        self.stats()["subscribers"].as_u64().expect("a number of subscribers")
    }

    #[track_caller]
    pub fn stream(&self, query: &str) -> Stream {
        self.stream_with(query, &[])
    }

    #[track_caller]
    pub fn stream_with(&self, query: &str, headers: &[(&str, &str)]) -> Stream {
        let stream = Stream::open(self.address, &format!("{STREAM}?{query}"), headers).expect("a stream");
        assert_eq!(stream.head.status, 200, "{:?}", stream.head);
        stream
    }

    #[track_caller]
    pub fn health(&self) -> Value {
        let mut health = Value::Null;
        // it is degraded for as long as the day's figures are read from the journal
        eventually("the day's figures are known", Duration::from_secs(10), || {
            health = self.get("/health").expect(200);
            ["risk", "ledger"].iter().all(|name| health["components"][*name]["rebuilding"] != true)
        });
        health
    }

    /// After an attack: healthy, no actor panicked, and events still pass from POST to a stream.
    #[track_caller]
    pub fn assert_unhurt(&self) {
        let health = self.health();
        assert_eq!(health["status"], "ok", "{health}");
        assert!(!self.process.log().contains("panicked"), "{}", self.process.log());
        let mut stream = self.stream("");
        stream.block();
        let id = self.publish(&json!({"type": "still_here", "payload": {}}));
        assert_eq!(stream.event().id(), id);
    }

    pub fn kill9(&mut self) {
        self.process.child.kill().unwrap();
        self.process.child.wait().unwrap();
    }

    /// SIGTERM, and the exit code.
    #[track_caller]
    pub fn terminate(&mut self) -> Option<i32> {
        self.process.signal("TERM");
        self.process.exit(Duration::from_secs(20)).code()
    }

    /// Starts the service again with the same settings and the same artifacts.
    #[track_caller]
    pub fn restart(&mut self) {
        (self.process, self.address) = self.launch.start();
    }

    pub fn artifacts(&self) -> &Path {
        &self.launch.artifacts
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn pid(&self) -> u32 {
        self.process.child.id()
    }

    /// Resident memory in KiB.
    pub fn memory(&self) -> u64 {
        self.status_kib("VmRSS:")
    }

    /// Highest resident memory in KiB since the last `forget_peak`.
    pub fn peak_memory(&self) -> u64 {
        self.status_kib("VmHWM:")
    }

    pub fn forget_peak(&self) {
        std::fs::write(format!("/proc/{}/clear_refs", self.pid()), "5").expect("the kernel forgets the peak");
    }

    fn status_kib(&self, key: &str) -> u64 {
        let mut text = String::new();
        std::fs::File::open(format!("/proc/{}/status", self.pid())).unwrap().read_to_string(&mut text).unwrap();
        let line = text.lines().find(|line| line.starts_with(key)).expect("the key in /proc/pid/status");
        line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number of KiB")
    }

    /// Established connections to the service's port, as the kernel sees them from the service's side.
    pub fn sockets(&self) -> u64 {
        let local = format!("0100007F:{:04X}", self.address.port());
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        rows.filter(|row| row.len() > 3 && row[1] == local && row[3] == "01").count() as u64
    }
}

/// Asks until the answer is yes; fails when it is still no at the end of the time.
#[track_caller]
pub fn eventually(what: &str, patience: Duration, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + patience;
    while !holds() {
        assert!(Instant::now() < deadline, "not within {patience:?}: {what}");
        std::thread::yield_now();
    }
}

/// A number from the environment, for the long form of a test.
pub fn number_from_env(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is not a number")))
}
