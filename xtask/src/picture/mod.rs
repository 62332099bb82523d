//! The README's pictures: terminal output as SVG, and the HTML report as PNG, each from a real run.

mod svg;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::args;
use crate::command::output;
use crate::notice::notice;

/// The width of a pictured terminal in characters: as wide as the longest line, within these
/// limits.
const COLUMNS_MIN: u16 = 80;
const COLUMNS_MAX: u16 = 124;

/// The size of the pictured browser window in pixels.
const WINDOW: &str = "1000,1010";

/// Draws all pictures, and returns the exit status.
pub(crate) fn run(args: &args::Picture) -> Result<u8> {
    let sounder = match &args.sounder {
        Some(path) => path.clone(),
        None => build()?,
    };
    let folder = &args.folder;
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;

    draw(&sounder, "sounder demo", &folder.join("demo.svg"))?;
    let server = Server::start(&sounder, "udp://127.0.0.1:0")?;
    draw_report(&sounder, &server.endpoint, &folder.join("report.png"))?;
    Ok(0)
}

/// Builds the program, optimised, and returns its path.
pub(crate) fn build() -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.args(["build", "--locked", "--release", "--package", "echosounder", "--message-format=short"]);
    output(&mut build)?;
    // This program is in the folder `debug` of cargo's target folder.
    let program = std::env::current_exe().context("cannot find this program")?;
    let target = program.ancestors().nth(2).context("cannot find the target folder")?;
    Ok(target.join("release/sounder"))
}

/// Runs a command line and draws it with its output, as a terminal shows them.
fn draw(sounder: &Path, line: &str, picture: &Path) -> Result<()> {
    let mut words = line.split(' ');
    words.next();
    let mut command = Command::new("sh");
    // Both outputs in one pipe, so that their lines keep their order.
    command.args(["-c", "exec 2>&1; \"$0\" \"$@\""]).arg(sounder).args(words);
    command.env("COLUMNS", COLUMNS_MAX.to_string()).env("CLICOLOR_FORCE", "1").arg("--color=always");
    let text = output(&mut command)?;
    let longest = text.lines().map(|line| line.chars().count()).max().unwrap_or(0);
    let columns = u16::try_from(longest).unwrap_or(u16::MAX).clamp(COLUMNS_MIN, COLUMNS_MAX);
    fs::write(picture, svg::draw(line, &text, columns))
        .with_context(|| format!("cannot write {}", picture.display()))
}

/// Measures for a few seconds and draws the HTML report, if chromium is installed.
fn draw_report(sounder: &Path, endpoint: &str, picture: &Path) -> Result<()> {
    let folder = TempDir::new().context("cannot create a temporary folder")?;
    let report = folder.path().join("report.html");
    let mut ping = Command::new(sounder);
    output(ping.args(["ping", "--quiet", "-c", "3000", "-i", "1ms", endpoint, "-o"]).arg(&report))?;
    let mut chromium = Command::new("chromium");
    chromium.args(["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]);
    chromium
        .arg(format!("--window-size={WINDOW}"))
        .arg(format!("--user-data-dir={}", folder.path().display()));
    let drawn = folder.path().join("report.png");
    chromium.arg(format!("--screenshot={}", drawn.display())).arg(&report);
    if let Err(error) = output(&mut chromium) {
        notice(format!("{} not drawn: {error:#}", picture.display()));
        return Ok(());
    }
    fs::copy(&drawn, picture).map(drop).with_context(|| format!("cannot write {}", picture.display()))
}

/// A server to measure, ended when it is dropped.
struct Server {
    child: Child,
    endpoint: String,
}

impl Server {
    fn start(sounder: &Path, endpoint: &str) -> Result<Self> {
        let mut command = Command::new(sounder);
        command.args(["serve", "--json", endpoint]).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("cannot run {}", sounder.display()))?;
        let stderr = child.stderr.take().context("the server has no standard error")?;
        let mut line = String::new();
        BufReader::new(stderr).read_line(&mut line).context("cannot read from the server")?;
        let mut server = Self { child, endpoint: String::new() };
        let Some((_, rest)) = line.split_once("\"endpoint\":\"") else {
            bail!("the server printed {line:?}")
        };
        rest.split('"').next().unwrap_or_default().clone_into(&mut server.endpoint);
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A server that has already ended needs no signal.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
