//! The real binary, and a connection to it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Ends with its value.
pub struct Service {
    child: Child,
    connection: BufReader<TcpStream>,
}

impl Service {
    /// Starts the service on the ledger in `artifacts`.
    pub fn start(artifacts: &Path) -> Self {
        let config = artifacts.join("config.yaml");
        std::fs::write(&config, "log: {level: warn}\n").unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--config"]).arg(config).arg("--artifacts").arg(artifacts);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let connection = TcpStream::connect(line.trim().rsplit("http://").next().unwrap()).unwrap();
        connection.set_nodelay(true).unwrap();
        Self { child, connection: BufReader::new(connection) }
    }

    /// Asks, and reads the whole answer.
    pub fn get(&mut self, target: &str) {
        let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        self.connection.get_mut().write_all(request.as_bytes()).unwrap();
        let mut length = 0;
        for index in 0.. {
            let mut line = String::new();
            self.connection.read_line(&mut line).unwrap();
            assert!(index > 0 || line.contains(" 200 "), "{target}: {line}");
            if let Some(text) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = text.trim().parse().unwrap();
            }
            if line.trim().is_empty() {
                break;
            }
        }
        self.connection.read_exact(&mut vec![0; length]).unwrap();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // it is gone either way
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
