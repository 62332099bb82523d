//! The programs in `examples/`, with each other and with the textbook's Python programs.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::{env, fs};

use echosounder_socket::{Transport, create_connection};
use echosounder_testkit::{Program, finish, has_ipv6, installed, skip};

/// Length of `[Sun Nov 22 12:19:36 2026] `.
const PREFIX_LEN: usize = 27;

const LINES: [&str; 3] = ["hello", "  indented, it's", "bye"];

/// The folder with the built examples. `cargo test` builds them; `cargo test --test it` does not.
static BUILT: LazyLock<PathBuf> = LazyLock::new(|| {
    let test = env::current_exe().unwrap();
    let profile = test.parent().and_then(Path::parent).unwrap();
    let built = profile.join("examples");
    if !names().iter().all(|name| built.join(name).exists()) {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--examples", "--package", "echosounder-socket"]);
        if profile.ends_with("release") {
            cargo.arg("--release");
        }
        assert!(cargo.status().unwrap().success(), "the examples do not build");
    }
    built
});

/// Returns the names of the examples.
fn names() -> Vec<String> {
    let files = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")).unwrap();
    files.map(|file| file.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned()).collect()
}

fn example(name: &str) -> Command {
    Command::new(BUILT.join(name))
}

/// Returns a command that runs one of the textbook's Python programs, or skips.
fn textbook(name: &str) -> Option<Command> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../echosounder/tests/it/textbook").join(name);
    if !script.exists() {
        skip("textbook", "the textbook's programs are not part of this package");
        return None;
    }
    let mut python = installed("python3")?;
    // With -B Python leaves no compiled files in the source tree.
    python.arg("-B").arg(script);
    Some(python)
}

/// Starts one of the example servers and returns it with its port.
fn server(name: &str) -> (Program, String) {
    let server = Program::start(example(name).arg("0"));
    let line = server.wait_for_lines(1).remove(0);
    let port = line.rsplit(':').next().unwrap().to_owned();
    (server, port)
}

/// Starts one of the textbook's servers and returns it with its port, or skips.
fn textbook_server(name: &str) -> Option<(Program, String)> {
    let server = Program::start(textbook(name)?.arg("127.0.0.1"));
    let port = server.wait_for_lines(1).remove(0);
    Some((server, port))
}

/// Sends lines through a client and checks the replies.
fn check_client(client: &mut Command) {
    let input = LINES.join("\n") + "\n\nnot sent\n";
    let done = finish(client, input.as_bytes());
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let output = done.text().trim_end_matches('>').replace('>', "");
    let replies: Vec<&str> = output.lines().collect();
    assert_eq!(replies.len(), LINES.len(), "{output}");
    for (reply, line) in replies.iter().zip(LINES) {
        let (prefix, message) = reply.strip_prefix("Server: ").unwrap().split_at(PREFIX_LEN);
        assert!(prefix.starts_with('[') && prefix.ends_with("] "), "{reply}");
        assert_eq!(message, line);
    }
}

#[test]
fn tcp_examples_work_with_each_other_and_the_textbook() {
    let (_server, port) = server("tcp_server");
    check_client(example("tcp_client").arg(&port));
    if let Some(mut client) = textbook("tcp_client.py") {
        check_client(client.args(["127.0.0.1", &port]));
    }
    if let Some((_server, port)) = textbook_server("tcp_server.py") {
        check_client(example("tcp_client").arg(&port));
    }
}

#[test]
fn udp_examples_work_with_each_other_and_the_textbook() {
    let (_server, port) = server("udp_server");
    check_client(example("udp_client").arg(&port));
    if let Some(mut client) = textbook("udp_client.py") {
        check_client(client.args(["127.0.0.1", &port]));
    }
    if let Some((_server, port)) = textbook_server("udp_server.py") {
        check_client(example("udp_client").arg(&port));
    }
}

#[test]
fn descriptor_example_accepts_in_the_worker() {
    let done = finish(&mut example("pass_descriptors"), b"");
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert!(done.text().contains("received: accepted by worker "), "{}", done.text());
}

#[test]
fn timestamp_example_reports_five_datagrams() {
    let done = finish(&mut example("kernel_timestamps"), b"");
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert_eq!(done.text().matches("since the epoch, read ").count(), 5, "{}", done.text());
}

#[test]
fn socket_kinds_example_lists_every_transport() {
    let done = finish(&mut example("socket_kinds"), b"");
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    for transport in Transport::all() {
        assert!(done.text().lines().any(|line| line.starts_with(transport.scheme())), "{}", done.text());
    }
}

#[test]
fn echo_example_serves_any_endpoint() {
    for endpoint in ["tcp://127.0.0.1:0", "tcp://[::1]:0"] {
        if endpoint.contains("::1") && !has_ipv6() {
            continue;
        }
        let server = Program::start(example("echo").arg(endpoint));
        let line = server.wait_for_lines(1).remove(0);
        let address = line.strip_prefix("Waiting for connections at ").unwrap();
        for message in ["hello", "again"] {
            let client = create_connection(address, None, None).unwrap();
            client.send_all(message.as_bytes()).unwrap();
            let mut reply = [0; 5];
            client.recv(&mut reply).unwrap();
            assert_eq!(&reply, message.as_bytes());
        }
    }
}

/// Checks that the Rust and Python code in a page is code that the tests run, and returns how many
/// blocks there are.
fn check_page(page: &str) -> Option<usize> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let Ok(page) = fs::read_to_string(root.join("../..").join(page)) else {
        skip("textbook", "the page is not part of this package");
        return None;
    };
    let sources = |folder: &str| -> Vec<String> {
        let files = fs::read_dir(root.join(folder)).unwrap().map(|file| file.unwrap().path());
        files.filter(|path| path.is_file()).map(|path| fs::read_to_string(path).unwrap()).collect()
    };
    let (rust, python) = (sources("examples"), sources("../echosounder/tests/it/textbook"));
    let mut checked = 0;
    for block in page.split("\n```").skip(1).step_by(2) {
        let (language, code) = block.split_once('\n').unwrap();
        let sources = match language {
            "rust" => &rust,
            "python" => &python,
            _ => continue,
        };
        assert!(sources.iter().any(|source| source.contains(code)), "no program contains:\n{code}");
        checked += 1;
    }
    Some(checked)
}

#[test]
fn pages_show_the_programs_that_the_tests_run() {
    for (page, blocks) in [("docs/textbook.md", 9), ("README.md", 1)] {
        if let Some(checked) = check_page(page) {
            assert_eq!(checked, blocks, "{page}");
        }
    }
}

#[test]
fn every_example_is_tested() {
    let tests = include_str!("examples.rs");
    for name in names() {
        let run = ["example", "server"].map(|function| format!("{function}(\"{name}\")"));
        assert!(run.iter().any(|run| tests.contains(run)), "{name}");
    }
}
