use std::fs;
use std::net::UdpSocket;
use std::path::Path;
use std::process::Command;
use std::thread;

use crate::support::{
    Folder, Serving, closed_port, finish, has_ipv6, json_lines, private_network, run, sounder, unique,
    without_times,
};

#[test]
fn command_lines_print_what_the_snapshots_say() {
    trycmd::TestCases::new()
        .register_bin("sounder", Path::new(env!("CARGO_BIN_EXE_sounder")))
        .env("COLUMNS", "100")
        .env("NO_COLOR", "1")
        .env("TERM", "dumb")
        .case("tests/cli/*.trycmd");
}

#[test]
fn refused_connection_is_reported_in_one_line() {
    let endpoint = format!("tcp://127.0.0.1:{}", closed_port());
    let refused = run(&["talk", &endpoint], b"");
    assert_eq!(
        refused.stderr,
        format!("sounder: REFUSED: cannot connect to {endpoint}: Connection refused\n")
    );
    assert_eq!((refused.code, refused.text()), (Some(1), ""));
}

#[test]
fn failure_as_json_has_reason_and_sentence() {
    let endpoint = format!("udp://127.0.0.1:{}", closed_port());
    let refused = run(&["talk", "--json", &endpoint], b"hello\n");
    let error: serde_json::Value = serde_json::from_str(&refused.stderr).unwrap();
    assert_eq!((&error["event"], &error["reason"]), (&"error".into(), &"REFUSED".into()));
    assert_eq!(error["error"], format!("REFUSED: cannot receive from {endpoint}: Connection refused"));
    assert!(error["hint"].is_null() && refused.code == Some(1));
}

#[test]
fn path_without_listener_refuses_like_a_port() {
    let endpoint = format!("unix:@{}", unique());
    let refused = run(&["talk", &endpoint], b"");
    assert_eq!(
        refused.stderr,
        format!("sounder: REFUSED: cannot connect to {endpoint}: Connection refused\n")
    );
    let absent = run(&["talk", "/nowhere/at/all"], b"");
    assert_eq!(
        absent.stderr,
        "sounder: REFUSED: cannot connect to unix:/nowhere/at/all: No such file or directory\n"
    );
    assert_eq!((refused.code, absent.code), (Some(1), Some(1)));
}

#[test]
fn refused_default_port_hints_at_serve() {
    let Some(mut command) = private_network() else { return };
    let refused = finish(command.arg(env!("CARGO_BIN_EXE_sounder")).arg("talk"), b"");
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.starts_with("sounder: REFUSED: cannot connect to tcp://"), "{}", refused.stderr);
    assert!(refused.stderr.ends_with("\nhint: start one with \"sounder serve\"\n"), "{}", refused.stderr);
}

#[test]
fn server_and_client_without_arguments_meet() {
    let Some(mut command) = private_network() else { return };
    let both = "timeout --foreground 30 \"$0\" serve & tries=0
        until echo hello 2>/dev/null | \"$0\" talk 2>/dev/null || [ $((tries += 1)) = 1000 ]; do :; done
        kill $!; wait $!";
    let all = finish(command.args(["sh", "-c", both]).arg(env!("CARGO_BIN_EXE_sounder")), b"");
    assert_eq!(all.code, Some(0), "{}", all.stderr);
    assert!(all.text().ends_with("] hello\n"), "{}", all.text());
    assert!(all.stderr.contains("Waiting for connection on tcp://127.0.0.1:21567\n"), "{}", all.stderr);
    assert!(all.stderr.contains("Waiting for message on udp://127.0.0.1:21567\n"), "{}", all.stderr);
    assert!(all.stderr.contains("hint: in another terminal \"sounder talk\";"), "{}", all.stderr);
    assert!(all.stderr.ends_with("1 connection, 1 message, 6 bytes, 0 dropped\n"), "{}", all.stderr);
}

#[test]
fn quiet_prints_nothing_and_verbose_prints_the_address() {
    let serving = Serving::at(&["tcp://127.0.0.1:0"]);
    let verbose = run(&["talk", "-v", serving.endpoint()], b"hello\n");
    assert_eq!(verbose.stderr, format!("Connected to {}\n", serving.endpoint()));
    assert_eq!(run(&["talk", "-q", serving.endpoint()], b"hello\n").stderr, "");

    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("udp://{}", silent.local_addr().unwrap());
    let quiet = run(&["talk", "-q", "-w", "10ms", &endpoint], b"hello\n");
    assert_eq!((quiet.code, quiet.stderr.as_str(), quiet.text()), (Some(1), "", ""));
}

#[test]
fn ip_version_options_select_addresses() {
    let serving = Serving::with(&["-4", "tcp://*:0"], 1);
    let output = serving.program().wait_for_stderr("\n");
    assert!(output.starts_with("Waiting for connection on tcp://0.0.0.0:"), "{output}");
    assert!(!output.contains("::"), "{output}");
    if has_ipv6() {
        let serving = Serving::with(&["-6", "tcp://*:0"], 1);
        let output = serving.program().wait_for_stderr("\n");
        assert!(output.starts_with("Waiting for connection on tcp://[::]:"), "{output}");
        assert!(!output.contains("0.0.0.0"), "{output}");
    }
}

#[test]
fn demo_as_json_prints_an_object_per_endpoint() {
    if !has_ipv6() {
        return;
    }
    let demo = run(&["demo", "--json"], b"");
    assert_eq!(demo.code, Some(0), "{}", demo.stderr);
    let rows = demo.objects();
    let schemes: Vec<&str> =
        rows.iter().map(|row| row["endpoint"].as_str().unwrap().split_once(':').unwrap().0).collect();
    assert!(
        schemes.starts_with(&["tcp", "tcp", "udp", "udp", "unix", "unix-dgram", "unix-seqpacket"]),
        "{schemes:?}"
    );
    // Every optional scheme is either in the result or in the notes.
    let notes = json_lines(&demo.stderr);
    let absent: Vec<&str> = notes
        .iter()
        .flat_map(|note| note["note"].as_str().unwrap().split(": ").nth(1).unwrap().split(';').next())
        .flat_map(str::split_whitespace)
        .collect();
    for scheme in ["vsock", "vsock-seqpacket", "tipc", "tipc-rdm", "netlink", "mptcp", "sctp"] {
        assert_ne!(schemes.contains(&scheme), absent.contains(&scheme), "{scheme}: {}", demo.stderr);
    }
    for row in rows {
        let keys: Vec<&String> = row.as_object().unwrap().keys().collect();
        let mut expected = [
            "event",
            "endpoint",
            "sent",
            "answered",
            "lost",
            "unexpected",
            "rtt",
            "error",
            "time",
            "time_unix_ns",
            "schema",
        ];
        expected.sort_unstable();
        assert_eq!(keys, expected, "{row}");
        assert_eq!(
            (&row["sent"], &row["answered"], &row["unexpected"], &row["lost"]),
            (&1000.into(), &1000.into(), &0.into(), &0.into()),
            "{row}"
        );
        let nanos = |key: &str| row["rtt"][key].as_u64().unwrap();
        assert!(nanos("p50_ns") <= nanos("p99_ns") && nanos("p99_ns") <= nanos("max_ns"), "{row}");
        assert!(row["error"].is_null(), "{row}");
    }
}

#[test]
fn usage_error_as_json_is_an_object() {
    let wrong = run(&["--json", "serve", "foo://x"], b"");
    assert_eq!((wrong.code, wrong.text()), (Some(2), ""));
    let objects = without_times(json_lines(&wrong.stderr));
    let [error] = &objects[..] else { panic!("{objects:?}") };
    let sentence = error["error"].as_str().unwrap();
    let begins =
        "invalid value 'foo://x' for '[ENDPOINT]...': no scheme is named \"foo\"; there are tcp:// udp:// ";
    assert!(sentence.starts_with(begins) && sentence.ends_with(" sctp://"), "{sentence}");
    let expected = serde_json::json!({ "event": "error", "reason": null, "error": sentence, "hint": null });
    assert_eq!(error, &expected);
}

#[test]
fn contradicting_arguments_are_refused() {
    for (args, sentence) in [
        (&["talk", "-4", "/tmp/x"][..], "-4 and -6 do not apply to unix:/tmp/x, which has no IP address"),
        (&["serve", "--allow-plain-echo"], "--allow-plain-echo requires --stamp none"),
        (
            &["serve", "--frame", "line", "udp://"],
            "--frame applies to stream sockets only; others preserve message boundaries",
        ),
        (
            &["serve", "--unix-mode", "666", "@x"],
            "--unix-mode requires an endpoint with the path of a UNIX socket",
        ),
        (&["talk", "-I", "lo", "@x"], "--source does not apply to unix:@x, which has no IP address"),
        (
            &["serve", "tipc://70:1", "tipc-rdm://70:1"],
            "tipc://70:1 and tipc-rdm://70:1 are the same TIPC service, which can have only one socket",
        ),
    ] {
        assert_eq!(run(args, b"").all(), (Some(2), "", &*format!("sounder: {sentence}\n")));
    }
}

#[test]
fn completion_scripts_exist_for_every_shell() {
    for (shell, has) in [("bash", "_sounder()"), ("zsh", "#compdef sounder"), ("fish", "complete -c sounder")]
    {
        let completions = run(&["completions", shell], b"");
        assert_eq!((completions.code, completions.stderr.as_str()), (Some(0), ""));
        assert!(completions.text().contains(has) && completions.text().contains("stall-timeout"), "{shell}");
    }
    let script = run(&["completions", "bash"], b"");
    let read = finish(Command::new("bash").args(["-n", "-c", script.text()]), b"");
    assert_eq!(read.all(), (Some(0), "", ""), "bash can read it");
}

#[test]
fn every_command_has_a_man_page() {
    let folder = Folder::new();
    let pages = folder.join("man1");
    assert_eq!(run(&["man", &pages], b"").all(), (Some(0), "", ""));
    for (page, part) in [
        ("sounder.1", "sounder\\-serve(1)"),
        ("sounder-serve.1", "\\-\\-stall\\-timeout"),
        ("sounder-talk.1", "\\-\\-source"),
        ("sounder-demo.1", "verified echoes"),
    ] {
        let text = fs::read_to_string(Path::new(&pages).join(page)).unwrap();
        assert!(text.contains(part), "{page}: {text}");
    }
    let pages: Vec<_> = fs::read_dir(&pages).unwrap().map(|page| page.unwrap().path()).collect();
    assert_eq!(pages.len(), 10);
    for page in pages {
        let text = fs::read_to_string(&page).unwrap();
        let sections =
            text.lines().filter_map(|line| line.strip_prefix(".SH ")).map(|name| name.trim_matches('"'));
        let sections: Vec<&str> = sections.collect();
        for section in ["NAME", "SYNOPSIS", "DESCRIPTION", "EXIT STATUS", "ENVIRONMENT", "SEE ALSO"] {
            assert!(sections.contains(&section), "{page:?} has no {section}");
        }
        for section in ["SIGNALS", "FILES", "ENDPOINTS", "EXAMPLES"] {
            let wanted = ["serve", "ping", "load", "talk"]
                .iter()
                .any(|name| page.ends_with(format!("sounder-{name}.1")));
            assert!(!wanted || sections.contains(&section), "{page:?} has no {section}");
        }
        // Tables are not filled.
        let (filled, bare) = (text.matches("\n.nf\n").count(), text.matches("\n.fi\n").count());
        assert!(filled != 0 && filled == bare, "{page:?}");
    }
}

#[test]
fn help_command_equals_help_option() {
    for command in ["serve", "talk", "ping", "load", "demo", "doctor", "config", "completions", "man"] {
        let help = run(&[command, "--help"], b"");
        assert_eq!(run(&["help", command], b"").all(), help.all());
        assert_eq!((help.code, help.stderr.as_str()), (Some(0), ""));
        assert!(help.text().contains("\nExit status:\n  0  Success.\n"), "{command}: {}", help.text());
    }
    let all = run(&["help"], b"");
    assert_eq!(all.text(), run(&["--help"], b"").text());
    assert!(all.text().contains("\nExit status:\n"));
}

#[test]
fn help_fits_the_terminal() {
    for command in ["serve", "talk", "ping", "load", "demo", "doctor", "config", "completions", "man"] {
        let help = |columns| finish(sounder([command, "--help"]).env("COLUMNS", columns), b"");
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let (narrow, usual) = (help("40"), help("80"));
        let too_long = |columns: usize| {
            move |line: &&str| {
                columns < line.chars().count() && line.trim().contains(' ') && !line.starts_with("Usage: ")
            }
        };
        let long: Vec<&str> = usual.text().lines().filter(too_long(80)).collect();
        assert!(long.is_empty(), "{command}: {long:?}");
        let long: Vec<&str> = narrow.text().lines().filter(too_long(40)).collect();
        assert!(long.is_empty(), "{command}: {long:?}");
        assert_eq!(words(narrow.text()), words(usual.text()), "{command}");
    }
}

#[test]
fn colours_follow_option_and_environment() {
    let endpoint = format!("udp://127.0.0.1:{}", closed_port());
    let ping = |args: &[&str]| run(&[&["ping", "-c", "1", &endpoint], args].concat(), b"");
    let colored = ping(&["--color", "always"]);
    assert_eq!(colored.code, Some(1));
    for text in ["\x1b[31mREFUSED\x1b[0m", "\x1b[31m1 lost (100%)\x1b[0m", "\x1b[31m1 REFUSED\x1b[0m"] {
        assert!(colored.text().contains(text), "{}", colored.text());
    }
    let plain = colored.text().replace("\x1b[31m", "").replace("\x1b[0m", "");
    assert!(!plain.contains('\x1b'), "{plain}");
    for args in [&[][..], &["--color", "auto"], &["--color", "never"], &["--color", "always", "--json"]] {
        let ping = ping(args);
        assert!(!ping.text().contains('\x1b') && !ping.stderr.contains('\x1b'), "{args:?}: {}", ping.text());
    }
    // Errors, usage errors and help have colours too.
    let talk = |color| run(&["talk", "--color", color, &endpoint], b"x\n").stderr;
    assert!(talk("always").starts_with("\x1b[31msounder:\x1b[0m REFUSED"), "{}", talk("always"));
    assert!(talk("never").starts_with("sounder: REFUSED"), "{}", talk("never"));
    let usage = |color| run(&["talk", "--color", color, "-u", "host"], b"").stderr;
    assert!(usage("always").starts_with("\x1b[31msounder:\x1b[0m unexpected"), "{}", usage("always"));
    assert!(usage("always").contains("\n\x1b[1mhint:\x1b[0m UDP"), "{}", usage("always"));
    assert!(!usage("never").contains('\x1b') && !usage("auto").contains('\x1b'));
    assert!(run(&["--color=always", "--help"], b"").text().contains('\x1b'));
    assert!(!run(&["--color=never", "--help"], b"").text().contains('\x1b'));
    let doctor = |color| run(&["doctor", "--color", color], b"");
    assert!(doctor("always").text().contains("\x1b[32mworks\x1b[0m"), "{}", doctor("always").text());
    assert!(!doctor("never").text().contains('\x1b'));
    let load = |color| {
        let args = ["load", "--self", "-n", "10", "-c", "1", "--warm-up", "0", "--color", color];
        run(&args, b"")
    };
    assert!(!load("always").text().contains("\x1b[31m") && !load("never").text().contains('\x1b'));
}

#[test]
fn demo_removes_its_files() {
    if !has_ipv6() {
        return;
    }
    let folder = Folder::new();
    let demo = finish(sounder(["demo"]).env("XDG_RUNTIME_DIR", folder.path()), b"");
    assert!(demo.text().contains(&format!("unix:{}/sounder-", folder.path().display())), "{}", demo.text());
    assert_eq!((demo.code, fs::read_dir(folder.path()).unwrap().count()), (Some(0), 0));
}

#[test]
fn simultaneous_demos_do_not_interfere() {
    if !has_ipv6() {
        return;
    }
    let [one, other] = [(); 2].map(|()| thread::spawn(|| run(&["demo"], b"")));
    for demo in [one.join().unwrap(), other.join().unwrap()] {
        assert_eq!((demo.code, demo.text().contains("unexpected")), (Some(0), false), "{}", demo.text());
    }
}
