//! The page of a ping, in a browser.

use std::process::Command;

use crate::support::{Finished, Folder, Serving, finish, installed, run};

/// What a browser without a window says to a page.
fn browse(chromium: &Command, folder: &Folder, args: &[&str]) -> Finished {
    let mut browser = Command::new(chromium.get_program());
    browser
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--enable-logging=stderr"])
        .arg(format!("--user-data-dir={}", folder.join("profile")))
        .args(args)
        .env("HOME", folder.path());
    finish(&mut browser, b"")
}

#[test]
fn a_browser_shows_the_page_and_runs_its_script() {
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
    // It is the script that says so, under each of the three figures of a target.
    assert_eq!(dom.matches("Point at the figure, or use the arrow keys.</p>").count(), 6, "{dom}");
    let complaint = shown.stderr.lines().find(|line| line.contains("CONSOLE"));
    assert_eq!(complaint, None);

    // What is drawn differs between light and dark, and neither is a blank.
    let mut pictures = Vec::new();
    for scheme in ["preferredColorScheme=1", "preferredColorScheme=0"] {
        let settings = format!("--blink-settings={scheme}");
        let screenshot = format!("--screenshot={picture}");
        let drawn = browse(&chromium, &folder, &[&settings, &screenshot, "--window-size=800,1600", &url]);
        assert_eq!(drawn.code, Some(0), "{}", drawn.stderr);
        let bytes = std::fs::read(&picture).unwrap();
        // A blank of this size has some six thousand bytes.
        assert!(20_000 < bytes.len(), "{}", bytes.len());
        pictures.push(bytes);
    }
    assert_ne!(pictures[0], pictures[1]);
}
