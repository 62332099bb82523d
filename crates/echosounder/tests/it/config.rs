//! Configuration files of `serve --config`, and `config --check`.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::{Folder, Serving, finish, json_lines, run, sh, sounder, unique, without_times};

/// Returns a folder with a configuration file of this content, and the path of the file.
fn file(content: impl AsRef<[u8]>) -> (Folder, String) {
    let folder = Folder::new();
    let path = folder.join("sounder.toml");
    fs::write(&path, content).unwrap();
    (folder, path)
}

/// Checks a file that is wrong; returns what is printed for it.
fn rejected(content: impl AsRef<[u8]>) -> String {
    let (_folder, path) = file(content);
    let done = run(&["config", "--check", &path], b"");
    assert_eq!((done.code, done.text()), (Some(2), ""), "{done:?}");
    done.stderr.replace(&path, "FILE")
}

fn example() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../pkg/sounder.toml")).unwrap()
}

#[test]
fn server_takes_its_options_from_a_file() {
    let name = unique();
    let (_folder, path) = file(format!(
        "[serve]\nendpoints = [\"unix:@{name}\"]\nstamp = \"none\"\nframe = \"line\"\njson = true\n"
    ));
    let serving = Serving::with(&["--config", &path], 1);
    assert_eq!(serving.endpoint(), format!("unix:@{name}"));
    assert_eq!(run(&["talk", serving.endpoint()], b"one\ntwo\n").text(), "one\ntwo\n");
    let done = serving.stop();
    let summary = done.stderr.lines().last().unwrap();
    assert!(summary.contains(r#""event":"summary""#) && summary.contains(r#""messages":2"#), "{done:?}");
}

#[test]
fn typed_arguments_replace_those_of_the_file() {
    let (name, other) = (unique(), unique());
    let (_folder, path) =
        file(format!("[serve]\nendpoints = [\"unix:@{name}\"]\nstamp = \"unix\"\nquiet = true\n"));
    let serving = Serving::with(&["--stamp", "none", "--config", &path, "--json", &format!("@{other}")], 0);
    let endpoint = format!("unix:@{other}");
    // Without the line of an endpoint, a client shows that the server is ready.
    let reply = run(&["ping", "--until-up", "-w", "20s", "-i", "10ms", &endpoint], b"");
    assert_eq!(reply.code, Some(0), "{reply:?}");
    assert_eq!(run(&["talk", &endpoint], b"hello").text(), "hello");
    assert_eq!(run(&["talk", &format!("@{name}")], b"").code, Some(1), "the file's endpoint is not served");
    assert_eq!(serving.stop().stderr, "");
}

#[test]
fn repeatable_options_of_the_file_and_the_command_line_add_up() {
    let (_folder, path) = file("[serve]\nendpoints = \"tcp://127.0.0.1:0\"\nallow = [\"192.0.2.0/24\"]\n");
    let serving = Serving::with(&["--config", &path], 1);
    assert_eq!(run(&["talk", serving.endpoint()], b"hello").code, Some(1));
    let serving = Serving::with(&["--config", &path, "--allow", "127.0.0.1", "--stamp", "none"], 1);
    assert_eq!(run(&["talk", serving.endpoint()], b"hello").text(), "hello");
}

#[test]
fn every_error_has_its_line_and_a_hint() {
    let text = "[serve]\nmax-connection = 5\nstamp = \"{x}\"\nq = true\n\nallow = [\"::1\",\n  \"x\"]\nunix-mode = 0o640\n\
                quiet = \"yes\"\nendpoints = [\"tpc://host\"]\nstamp-mode = \"state-full\"\nzzz = 1\n";
    let lines = rejected(text);
    let lines: Vec<&str> = lines.lines().collect();
    for (line, (start, part)) in lines.iter().zip([
        ("sounder: FILE:2: ", "unknown key \"max-connection\" in [serve]"),
        ("hint: ", "did you mean \"max-connections\"?"),
        ("sounder: FILE:3: ", "invalid value '{x}' for '--stamp <STAMP>': "),
        ("sounder: FILE:4: ", "unknown key \"q\" in [serve]"),
        ("hint: ", "did you mean \"quiet\"?"),
        ("sounder: FILE:7: ", "invalid value 'x' for '--allow <CIDR>': "),
        ("sounder: FILE:8: ", "\"unix-mode\" takes decimal numbers only"),
        ("sounder: FILE:9: ", "\"quiet\" is true or false"),
        ("sounder: FILE:10: ", "invalid value 'tpc://host' for '[ENDPOINT]...': "),
        ("hint: ", "did you mean \"tcp://host\"?"),
        ("sounder: FILE:11: ", "invalid value 'state-full' for '--stamp-mode <MODE>' [possible values: "),
        ("hint: ", "a similar value exists: 'stateful'"),
        ("sounder: FILE:12: ", "unknown key \"zzz\" in [serve]"),
    ]) {
        assert!(line.starts_with(start) && line.contains(part), "{line}: {part}\n{lines:#?}");
    }
    assert_eq!(lines.len(), 13, "{lines:#?}");
}

#[test]
fn tables_and_syntax_are_checked() {
    for (text, expected) in [
        ("", "FILE has no table [serve]"),
        ("stamp = \"ns\"\n", "FILE:1: \"stamp\" is outside a table; it belongs below [serve]"),
        ("[serve]\nunix-mode = 0600\n", "FILE:2: unexpected leading zero"),
        ("[serve]\nstamp = unix\n", "FILE:2: string values must be quoted, expected literal string"),
        ("[serve]\n[server]\n", "FILE:2: unknown table [server]; there is [serve]"),
        ("\n[[serve]]\n", "FILE:2: \"serve\" is not a table; write [serve], once"),
        ("[serve]\n[serve.limits]\nx = 1\n", "FILE:2: unknown key \"limits\" in [serve]"),
        ("[serve]\n4 = true\n6 = true\n", "FILE:2: the argument '-4' cannot be used with '-6'"),
        ("[serve]\nconfig = \"x\"\n", "FILE:2: unknown key \"config\" in [serve]"),
        ("[serve]\nuntil-input-ends = true\n", "FILE:2: unknown key \"until-input-ends\" in [serve]"),
        ("[serve]\nstamp = [\"ns\"]\n", "FILE:2: \"stamp\" takes one value"),
        ("[serve]\nworkers = true\n", "FILE:2: \"workers\" takes a text or a number"),
        ("[serve]\nuser = \"a\\u0000\"\n", "FILE:2: \"user\" contains a NUL character"),
        (
            "[serve]\nendpoints = [\"--no-sandbox\"]\n",
            "FILE:2: \"endpoints\" contains a text that begins with \"-\"",
        ),
        ("[serve]\nallow-plain-echo = true\n", "FILE:2: --allow-plain-echo requires --stamp none"),
        (
            "[serve]\nendpoints = [\"udp://\"]\nframe = \"line\"\n",
            "FILE:3: --frame applies to stream sockets only; others preserve message boundaries",
        ),
        (
            "[serve]\nendpoints = [\"localhost\", 80]\n",
            "FILE: host 'localhost' and port '80' are two arguments",
        ),
    ] {
        let printed = rejected(text);
        assert_eq!(printed.lines().next().unwrap(), format!("sounder: {expected}"), "{printed}");
    }
    let text = "[serve]\nmax-connections = 10k\n";
    assert!(rejected(text).starts_with("sounder: FILE:2: "), "{}", rejected(text));
    let twice = "[serve]\nstamp = \"ns\"\nstamp = \"unix\"\n";
    assert!(rejected(twice).starts_with("sounder: FILE:3: duplicate key stamp\n"), "{}", rejected(twice));
    assert_eq!(rejected(b"[serve]\n# \xff\n"), "sounder: FILE:2: this is not UTF-8\n");
}

#[test]
fn file_full_of_errors_has_the_first_hundred() {
    let keys: String = (0..30_000).map(|number| format!("abcde{number} = 1\n")).collect();
    let printed = rejected(format!("[serve]\n{keys}"));
    assert_eq!(printed.lines().count(), 100);
    assert!(printed.ends_with("FILE:101: unknown key \"abcde99\" in [serve]\n"), "{printed}");
    let networks = "\"192.0.2.0/33\",".repeat(30_000);
    let printed = rejected(format!("[serve]\nallow = [{networks}]\n"));
    assert_eq!(printed.lines().count(), 100, "{printed}");
}

#[test]
fn value_of_several_lines_is_one_line_of_an_error() {
    let printed = rejected("[serve]\nworkers = \"4\\n\\nhint: x\"\n");
    let text = "4\\n\\nhint: x";
    let begins =
        format!("sounder: FILE:2: invalid value '{text}' for '--workers <N>': \"{text}\" is not a number");
    assert!(printed.starts_with(&begins) && printed.lines().count() == 1, "{printed}");
}

#[test]
fn log_format_concerns_standard_error_alone() {
    for (args, log_is_json, transcript_is_json) in [
        (&["--log-format", "json"][..], true, false),
        (&["--log-format=text", "--json"], false, true),
        (&["--json"], true, true),
    ] {
        let name = unique();
        let endpoint = format!("@{name}");
        let args = [args, &["--transcript", "messages", &endpoint]].concat();
        let serving = Serving::with(&args, 1);
        assert_eq!(run(&["talk", serving.endpoint()], b"hello").code, Some(0));
        let done = serving.stop();
        let is_json = |text: &str| text.lines().all(|line| line.starts_with('{') && line.ends_with('}'));
        assert_eq!(
            (is_json(&done.stderr), is_json(done.text())),
            (log_is_json, transcript_is_json),
            "{done:?}"
        );
        assert!(done.stderr.lines().count() == 2 && done.text().contains("hello"), "{done:?}");
    }
    for args in [&["--log-format", "json", "udp://", "--frame", "line"][..], &["--log-format=json", "-x"]] {
        let done = run(&[&["serve"], args].concat(), b"");
        assert_eq!(json_lines(&done.stderr)[0]["event"], "error", "{done:?}");
        let both = run(&[&["serve", "--json"], args].concat(), b"");
        assert_eq!(json_lines(&both.stderr).len(), 1, "{both:?}");
    }
    let text = run(&["serve", "--json", "--log-format", "text", "-x"], b"");
    assert!(text.stderr.starts_with("sounder: unexpected argument '-x' found\n"), "{text:?}");
}

#[test]
fn serve_prints_every_error_of_its_file_and_binds_nothing() {
    let (_folder, path) = file("[serve]\nendpoints = [\"tcp://127.0.0.1:0\"]\nx = 1\ny = 2\n");
    let done = run(&["serve", "--config", &path], b"");
    let line = |number, key| format!("sounder: {path}:{number}: unknown key \"{key}\" in [serve]\n");
    assert_eq!(done.all(), (Some(2), "", &*format!("{}{}", line(3, "x"), line(4, "y"))));
    let done = run(&["serve", "--json", "--config", &path], b"");
    let [error, _] = &without_times(json_lines(&done.stderr))[..] else { panic!("{done:?}") };
    let sentence = format!("{path}:3: unknown key \"x\" in [serve]");
    let expected = serde_json::json!({ "event": "error", "reason": null, "error": sentence, "hint": null });
    assert_eq!(error, &expected);
}

#[test]
fn files_that_cannot_be_read_are_refused() {
    let (folder, path) = file(vec![b'#'; (1 << 20) + 1]);
    let folder = folder.path().display().to_string();
    for (path, error) in [
        (&*path, format!("{path} has more than 1 MiB")),
        ("/dev/zero", "/dev/zero has more than 1 MiB".to_owned()),
        (&*folder, format!("cannot read {folder}: Is a directory")),
        ("/nowhere/x", "cannot read /nowhere/x: No such file or directory".to_owned()),
        ("-", "standard input has no table [serve]".to_owned()),
    ] {
        let done = run(&["serve", "--config", path], b"");
        assert_eq!(done.all(), (Some(2), "", &*format!("sounder: {error}\n")));
    }
    let comment = [b"[serve]\n".as_slice(), &vec![b'#'; (1 << 20) - 8]].concat();
    assert_eq!(run(&["config", "--check", "-"], &comment).all(), (Some(0), "standard input: ok\n", ""));
}

#[test]
fn standard_input_and_pipes_are_files_too() {
    let script = "printf '[serve]\\nstamp = \"ns\"\\n' | \"$0\" config --check /dev/stdin
        mkfifo \"$1\"; printf '[serve]\\n' > \"$1\" & \"$0\" config --check \"$1\"";
    let folder = Folder::new();
    let fifo = folder.join("fifo");
    let done = finish(sh(script).arg(env!("CARGO_BIN_EXE_sounder")).arg(&fifo), b"");
    assert_eq!(done.all(), (Some(0), &*format!("/dev/stdin: ok\n{fifo}: ok\n"), ""));
}

#[test]
fn relative_paths_begin_at_the_working_directory() {
    let folder = Folder::new();
    fs::create_dir(folder.join("etc")).unwrap();
    fs::write(folder.join("key"), "0123456789abcdef").unwrap();
    fs::write(folder.join("etc/sounder.toml"), "[serve]\nendpoints = \"stamp://\"\nstamp-key = \"key\"\n")
        .unwrap();
    let check = |folder: &str, file: &str| {
        let mut command: Command = sounder(["config", "--check", file]);
        finish(command.current_dir(folder), b"").code
    };
    assert_eq!(check(&folder.path().display().to_string(), "etc/sounder.toml"), Some(0));
    assert_eq!(check(&folder.join("etc"), "sounder.toml"), Some(2));
}

#[test]
fn every_file_is_checked() {
    let (folder, path) = file("[serve]\n");
    let wrong = folder.join("wrong.toml");
    fs::write(&wrong, "[serve]\nworkers = 0\nx = 1\n").unwrap();
    let done = run(&["config", "--check", &wrong, &path], b"");
    assert_eq!((done.code, done.text()), (Some(2), &*format!("{path}: ok\n")), "{done:?}");
    let done = run(&["--json", "config", "--check", &wrong, &path], b"");
    let expected =
        |file: &str, errors| serde_json::json!({ "event": "config", "file": file, "errors": errors });
    assert_eq!(without_times(done.objects()), [expected(&wrong, 2), expected(&path, 0)]);
}

#[test]
fn example_is_right_with_and_without_its_comments() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../pkg/sounder.toml").display().to_string();
    assert_eq!(run(&["config", "--check", &path], b"").all(), (Some(0), &*format!("{path}: ok\n"), ""));
    let folder = Folder::new();
    let key = folder.join("stamp.key");
    fs::write(&key, "0123456789abcdef").unwrap();
    // The second list of endpoints replaces the first one.
    let text = example().replace("\nendpoints", "\n# endpoints").replace("/etc/sounder/stamp.key", &key);
    let is_entry = |line: &str| line.starts_with('#') && !line.starts_with("# ") && line.contains(" = ");
    let lines = text.lines().map(|line| if is_entry(line) { &line[1..] } else { line });
    let all: Vec<&str> = lines.collect();
    let path = folder.join("all.toml");
    fs::write(&path, all.join("\n")).unwrap();
    assert_eq!(run(&["config", "--check", &path], b"").all(), (Some(0), &*format!("{path}: ok\n"), ""));

    let help = run(&["serve", "-h"], b"");
    let options = help.text().lines().filter_map(|line| {
        let (_, long) = line.get(..20).filter(|start| start.trim().starts_with('-'))?.split_once("--")?;
        Some(line[line.find(long)?..].split([' ', '[']).next()?.to_owned())
    });
    let options: Vec<String> =
        options.filter(|option| !["config", "help"].contains(&option.as_str())).collect();
    assert!(25 < options.len(), "{options:?}");
    for option in options.iter().map(String::as_str).chain(["4", "6"]) {
        assert!(
            all.iter().any(|line| line.starts_with(&format!("{option} = "))),
            "the example has no {option}"
        );
    }
}
