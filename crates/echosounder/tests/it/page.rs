//! HTML reports of ping and load, in a browser.

use std::process::Command;

use crate::support::{Finished, Folder, Serving, finish, installed, run};

/// How often a browser is started that does not end.
const ATTEMPTS: usize = 5;

/// Runs a browser without a window. On a busy machine it may never end, even after it has written
/// its output, so it is then started again.
fn browse(chromium: &Command, folder: &Folder, args: &[&str]) -> Finished {
    let mut attempts = (0..ATTEMPTS).map(|attempt| browse_once(chromium, folder, args, attempt));
    attempts.find(|done| !matches!(done.code, None | Some(124))).expect("the browser ends")
}

/// Runs a browser for a limited time. If it has not ended by then, timeout(1) ends it with status
/// 124, or kills both, which leaves no status.
fn browse_once(chromium: &Command, folder: &Folder, args: &[&str], attempt: usize) -> Finished {
    let mut browser = Command::new("timeout");
    browser
        .args(["--kill-after=1", "20"])
        .arg(chromium.get_program())
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--enable-logging=stderr"])
        .arg(format!("--user-data-dir={}", folder.join(&format!("profile-{attempt}"))))
        .args(args)
        .env("HOME", folder.path());
    finish(&mut browser, b"")
}

#[test]
fn browser_shows_the_report_of_ping_and_runs_its_script() {
    let Some(chromium) = installed("chromium") else { return };
    let folder = Folder::new();
    let (page, picture) = (folder.join("page.html"), folder.join("page.png"));
    let server = Serving::at(&["tcp://127.0.0.1:0", "udp://127.0.0.1:0"]);
    let targets: Vec<&str> = server.endpoints().iter().map(String::as_str).collect();
    let pinged = run(&[&["ping", "-q", "-c", "300", "-i", "1ms", "-o", &page], &targets[..]].concat(), b"");
    assert_eq!(pinged.code, Some(0), "{}", pinged.stderr);

    let url = format!("file://{page}");
    let shown = browse(&chromium, &folder, &["--dump-dom", &url]);
    assert_eq!(shown.code, Some(0), "{}", shown.stderr);
    let dom = shown.text();
    assert_eq!(dom.matches("<section").count(), 2, "{dom}");
    // The script adds a readout and a switch to each of the three figures of a target.
    assert_eq!(dom.matches("Point at the figure, or use the arrow keys.</p>").count(), 6, "{dom}");
    assert_eq!(dom.matches("<button type=\"button\"").count(), 6, "{dom}");
    let complaint = shown.stderr.lines().find(|line| line.contains("CONSOLE"));
    assert_eq!(complaint, None);

    // Light and dark screenshots differ, and neither is blank.
    let mut pictures = Vec::new();
    for scheme in ["preferredColorScheme=1", "preferredColorScheme=0"] {
        let settings = format!("--blink-settings={scheme}");
        let screenshot = format!("--screenshot={picture}");
        let drawn = browse(&chromium, &folder, &[&settings, &screenshot, "--window-size=800,1600", &url]);
        assert_eq!(drawn.code, Some(0), "{}", drawn.stderr);
        let bytes = std::fs::read(&picture).unwrap();
        // A blank screenshot of this size has about six thousand bytes.
        assert!(20_000 < bytes.len(), "{}", bytes.len());
        pictures.push(bytes);
    }
    assert_ne!(pictures[0], pictures[1]);
}

/// Fails unless the page is well-formed XML and has the headings of these figures.
#[track_caller]
fn assert_figures(page: &str, expected: &[&str]) {
    let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
    let document = roxmltree::Document::parse_with_options(page, options).unwrap();
    let figures =
        document.descendants().filter(|node| node.has_tag_name(("http://www.w3.org/1999/xhtml", "h3")));
    assert_eq!(figures.filter_map(|node| node.text()).collect::<Vec<_>>(), expected, "{page}");
    assert!(!page.contains("NaN") && !page.contains("inf"), "a number is not finite: {page}");
}

#[test]
fn report_of_load_has_figures_over_time() {
    let folder = Folder::new();
    let page = folder.join("page.html");
    let loaded = run(&["load", "--self", "-r", "500", "-d", "2100ms", "-w", "20s", "-o", &page], b"");
    assert_eq!(loaded.code, Some(0), "{}", loaded.stderr);
    let text = std::fs::read_to_string(&page).unwrap();
    let course = ["Messages per second over time", "Latency over time"];
    let sample = ["Distribution of latency", "Percentiles"];
    assert_figures(&text, &[course, sample].concat());
    let Some(chromium) = installed("chromium") else { return };
    let shown = browse(&chromium, &folder, &["--dump-dom", &format!("file://{page}")]);
    assert_eq!(shown.text().matches("use the arrow keys.</p>").count(), 4, "{}", shown.text());
    assert_eq!(shown.stderr.lines().find(|line| line.contains("CONSOLE")), None);
}

#[test]
fn report_of_a_ramp_has_a_row_for_each_step() {
    let folder = Folder::new();
    let (page, lines) = (folder.join("page.html"), folder.join("lines.json"));
    let args = ["load", "--json", "--self", "--ramp", "20s", "-d", "150ms", "-w", "20s"];
    let loaded = run(&[&args[..], &["-o", &page, "-o", &lines]].concat(), b"");
    let steps = loaded.objects().iter().filter(|line| line["event"] == "step").count();
    // On a machine without any idle time, no rate holds and there is no result.
    if loaded.code == Some(0) {
        let text = std::fs::read_to_string(&page).unwrap();
        assert_eq!(text.matches("/s</th><td>").count(), steps, "{text}");
        assert_figures(&text, &["Distribution of latency", "Percentiles"]);
    }
}
