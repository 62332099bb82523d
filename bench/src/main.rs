//! Compares the server with other servers and with minimal servers in C (floors). Each runs alone
//! on one core and the load on another, in rounds of shuffled order.
//!
//! `cargo run --release` builds the servers, names those that are missing, and writes a table for
//! each scenario. `--help` shows the options.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::{env, fs, thread};

use anyhow::{Context, Result, bail, ensure};
use lexopt::prelude::{Long, ValueExt};

use echosounder_bench::machine;
use echosounder_bench::measure::{Bench, Row, Spans};
use echosounder_bench::peers::{self, BEFORE, PEERS, Peer, Ready, Workshop};
use echosounder_bench::report::Report;
use echosounder_bench::scenario::{SCENARIOS, Scenario};
use echosounder_bench::server::{Interrupt, LOAD_CORE};

const HELP: &str = "\
Compare echo servers in one run. The tables are written to standard output in Markdown.

  --quick             run few short rounds, to check that everything works
  --rounds N          run N rounds [default: 14; with --quick: 3]
  --scenario NAME...  run only these scenarios
  --peer NAME...      run only these servers
  --before PROGRAM    run another build of sounder, too, to compare both
  --markdown FILE     write the whole report to FILE
  --json FILE         write every figure with its interval to FILE
  --list              print the names of scenarios and servers
";

/// Open files that a process may need beside its connections.
const OTHER_FILES: usize = 100;

struct Arguments {
    rounds: Option<usize>,
    quick: bool,
    scenarios: Vec<&'static Scenario>,
    peers: Vec<&'static Peer>,
    before: Option<PathBuf>,
    markdown: Option<PathBuf>,
    json: Option<PathBuf>,
}

fn main() -> Result<()> {
    let Some(arguments) = Arguments::parse()? else { return Ok(()) };
    let cores = thread::available_parallelism()?.get();
    ensure!(2 <= cores, "the server and the load need a core each");
    println!("cpu: {}\n", machine::processor());
    let files = echosounder_socket::internal::raise_fd_limit()?;
    let mut report = Report::new(arguments.rounds(), &arguments.spans());
    report.save(arguments.markdown.as_deref(), arguments.json.as_deref())?;
    let ready = build(&arguments, &mut report)?;
    ensure!(ready.iter().any(|ready| ready.peer.is_floor), "no floor can be built to compare with");

    let interrupt = Interrupt::receive()?;
    // The load, which is this process, stays off the servers' core.
    let own = std::process::id().to_string();
    peers::run(Command::new("taskset").args(["-acp", LOAD_CORE, &own]).stdout(Stdio::null()))?;
    let folder = env::temp_dir().join(format!("echosounder-bench-{own}"));
    fs::create_dir_all(&folder)?;
    let mut bench = Bench::new(&ready, &arguments.spans(), &folder, &interrupt);
    let result = arguments.scenarios.iter().try_for_each(|scenario| {
        let needed = scenario.load.connections + scenario.load.idle + OTHER_FILES;
        if files < needed as u64 {
            print!(
                "{}",
                report.skip(scenario, &format!("the limit of open files is {files}, under {needed}"))
            );
            return Ok(());
        }
        let rows: Vec<Row<'_>> = bench.scenario(scenario, arguments.rounds())?;
        print!("{}", report.add(scenario, &rows));
        report.save(arguments.markdown.as_deref(), arguments.json.as_deref())
    });
    fs::remove_dir_all(&folder)?;
    result
}

/// Builds the peers that this machine can build, and names the others.
fn build(arguments: &Arguments, report: &mut Report) -> Result<Vec<Ready>> {
    let (workshop, mut found) = (Workshop::open(arguments.before.clone())?, Vec::new());
    for peer in &arguments.peers {
        match workshop.ready(peer) {
            Ok(ready) => {
                report.found(&ready);
                found.push(ready);
            }
            Err(error) => {
                eprintln!("left out: {}: {error:#}", peer.name);
                report.left_out(peer, &format!("{error:#}"));
            }
        }
    }
    Ok(found)
}

impl Arguments {
    /// Reads the command line; `None` if an option was only about output, such as `--help`.
    fn parse() -> Result<Option<Self>> {
        let (mut scenarios, mut peers) = (Vec::new(), Vec::new());
        let mut arguments = Self {
            rounds: None,
            quick: false,
            scenarios: vec![],
            peers: vec![],
            before: None,
            markdown: None,
            json: None,
        };
        let mut parser = lexopt::Parser::from_env();
        while let Some(argument) = parser.next()? {
            match argument {
                Long("quick") => arguments.quick = true,
                Long("rounds") => arguments.rounds = Some(parser.value()?.parse()?),
                Long("scenario") => scenarios.extend(parser.values()?.map(|name| name.string())),
                Long("peer") => peers.extend(parser.values()?.map(|name| name.string())),
                Long("before") => arguments.before = Some(PathBuf::from(parser.value()?).canonicalize()?),
                Long("markdown") => arguments.markdown = Some(parser.value()?.into()),
                Long("json") => arguments.json = Some(parser.value()?.into()),
                Long("list") => {
                    SCENARIOS.iter().for_each(|scenario| println!("{:24}{}", scenario.name, scenario.title));
                    PEERS.iter().for_each(|peer| println!("{:24}{}", peer.name, peer.note));
                    return Ok(None);
                }
                Long("help") => {
                    print!("{HELP}");
                    return Ok(None);
                }
                other => bail!("{}", other.unexpected()),
            }
        }
        ensure!(arguments.rounds != Some(0), "the minimum number of rounds is 1");
        arguments.scenarios = chosen(&SCENARIOS, scenarios, |scenario| scenario.name)?;
        arguments.peers = chosen(&PEERS, peers, |peer| peer.name)?;
        if arguments.before.is_none() {
            arguments.peers.retain(|peer| peer.name != BEFORE);
        }
        // Without its floor a row has no ratio.
        for floor in PEERS.iter().filter(|peer| peer.is_floor) {
            if !arguments.peers.iter().any(|peer| peer.name == floor.name) {
                arguments.peers.insert(0, floor);
            }
        }
        Ok(Some(arguments))
    }

    fn rounds(&self) -> usize {
        self.rounds.unwrap_or(if self.quick { 3 } else { 14 })
    }

    fn spans(&self) -> Spans {
        if self.quick { Spans::QUICK } else { Spans::FULL }
    }
}

/// Returns the items with these names, or all if there are no names.
fn chosen<T>(
    all: &'static [T],
    names: Vec<Result<String, lexopt::Error>>,
    name: fn(&T) -> &'static str,
) -> Result<Vec<&'static T>> {
    let names = names.into_iter().collect::<Result<Vec<_>, _>>()?;
    for wanted in &names {
        let known = || all.iter().map(name).collect::<Vec<_>>().join(", ");
        all.iter()
            .find(|one| name(one) == wanted)
            .with_context(|| format!("\"{wanted}\" is not one of: {}", known()))?;
    }
    Ok(all.iter().filter(|one| names.is_empty() || names.iter().any(|wanted| name(one) == wanted)).collect())
}
