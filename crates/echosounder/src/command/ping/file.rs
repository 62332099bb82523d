//! The files that the result of a ping is written to.

use std::io::{self, Write};

use anyhow::Result;
use echosounder_client::{PingEvent, PingReport, Thresholds};
use echosounder_server::internal::local_time_zone;

use super::summary::{missed_in_words, missed_names, path_mtus};
use super::target_state::TargetState;
use crate::command::result_file::{self, ResultFile};
use crate::failure::{self, sentence};
use crate::output::{OutputFile, ResultFormat};
use crate::render::html::{page, zoned};
use crate::render::json::{EventTime, unix_now_ns};
use crate::render::ping::html::{self, Measured};
use crate::render::ping::target::Target;
use crate::render::ping::{csv, hdr, json};
use crate::request_sizes::RequestSizes;

/// The files for the result. They are opened before anything is measured.
#[derive(Default)]
pub(super) struct ResultFiles {
    files: Vec<Sink>,
}

struct Sink {
    file: ResultFile,
    /// The first failure of a file of lines. Nothing is written after it.
    error: Option<anyhow::Error>,
    /// Whether a note has reported that failure.
    is_noted: bool,
}

impl ResultFiles {
    pub(super) fn open(outputs: &[OutputFile]) -> Result<Self> {
        let files = result_file::open_all(outputs)?;
        Ok(Self {
            files: files.into_iter().map(|file| Sink { file, error: None, is_noted: false }).collect(),
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Appends a request to the files that have a line for each.
    pub(super) fn append(&mut self, endpoint: &str, event: &PingEvent) {
        for sink in self.files.iter_mut().filter(|sink| sink.has_lines()) {
            sink.append(|mut out| csv::sample(&mut out, endpoint, event));
        }
    }

    /// Returns a sentence for each file of lines that has failed since the last call, which may be
    /// long before the end.
    pub(super) fn take_failures(&mut self) -> impl Iterator<Item = String> {
        self.files.iter_mut().filter_map(|sink| {
            let error = sink.error.as_ref().filter(|_| !sink.is_noted)?;
            sink.is_noted = true;
            Some(format!("{}; further requests are not written to it", sentence(error.chain())))
        })
    }

    /// Writes the reports so far. If that fails, the old file stays, and the next report is tried
    /// again.
    pub(super) fn save(
        &mut self,
        states: &[TargetState],
        thresholds: Thresholds,
        sweep: Option<RequestSizes>,
    ) {
        for sink in &mut self.files {
            if sink.has_lines() {
                sink.publish();
            } else if sink.file.is_replaceable() {
                let _ = sink.write(states, thresholds, sweep);
            }
        }
    }

    /// Writes the result to all files, and returns the failures.
    pub(super) fn finish(
        self,
        states: &[TargetState],
        thresholds: Thresholds,
        sweep: Option<RequestSizes>,
    ) -> Vec<anyhow::Error> {
        let has_found = states.iter().any(|state| state.target.is_some());
        let finish = |mut sink: Sink| {
            if sink.has_lines() {
                if has_found {
                    sink.append(|_| Ok(()));
                }
                sink.publish();
                return sink.error;
            }
            // If no target was found, an old histogram is worth more than an empty one, and an old
            // report more than one that only contains the failure of this machine.
            let of_peer =
                |state: &TargetState| state.error.as_ref().and_then(failure::failure_kind).is_some();
            let is_worthless = !has_found
                && match sink.file.format() {
                    ResultFormat::Hdr => true,
                    _ => !sink.file.is_stdout() && !states.iter().any(of_peer),
                };
            if is_worthless { None } else { sink.write(states, thresholds, sweep).err() }
        };
        self.files.into_iter().filter_map(finish).collect()
    }
}

impl Sink {
    /// Whether the file has a line for each request, rather than a report.
    fn has_lines(&self) -> bool {
        self.file.format() == ResultFormat::Csv
    }

    /// Appends lines. The first ones come after the header.
    fn append(&mut self, render: impl FnOnce(&mut dyn Write) -> io::Result<()>) {
        if self.error.is_some() {
            return;
        }
        let has_header = self.file.has_lines();
        let append = |mut out: &mut dyn Write| {
            if !has_header {
                csv::header(&mut out)?;
            }
            render(out)
        };
        if let Err(error) = self.file.append(append) {
            self.fail(error);
        }
    }

    fn publish(&mut self) {
        if self.error.is_none()
            && let Err(error) = self.file.publish()
        {
            self.fail(error);
        }
    }

    /// Ends a file of lines with its last complete line.
    fn fail(&mut self, error: anyhow::Error) {
        self.file.end_lines();
        self.error = Some(error);
    }

    fn write(
        &self,
        states: &[TargetState],
        thresholds: Thresholds,
        sweep: Option<RequestSizes>,
    ) -> Result<()> {
        let format = self.file.format();
        let results = || states.iter().filter_map(reported).map(|(_, target, report)| (target, report));
        self.file.write(|mut out| match format {
            ResultFormat::Hdr => Ok(hdr::log(&mut out, &results().collect::<Vec<_>>())?),
            ResultFormat::Html => write_page(&mut out, states, thresholds, sweep),
            ResultFormat::Json | ResultFormat::Csv => {
                states.iter().try_for_each(|state| write_objects(&mut out, state, thresholds))?;
                let mut path_mtus = path_mtus(states, sweep).into_iter();
                Ok(path_mtus.try_for_each(|path| json::path_mtu(&mut out, &EventTime::now(), &path))?)
            }
        })
    }
}

/// Returns the report of a target, or the report so far, with the name of its event.
fn reported(state: &TargetState) -> Option<(&'static str, &Target, &PingReport)> {
    let end = state.report.as_deref().map(|report| ("result", report));
    let (event, report) = end.or_else(|| Some(("interim", state.checkpoint.as_deref()?)))?;
    Some((event, state.target.as_ref()?, report))
}

/// Writes the report and the error of a target.
fn write_objects(out: &mut impl Write, state: &TargetState, thresholds: Thresholds) -> Result<()> {
    if let Some((event, target, report)) = reported(state) {
        let missed = if event == "result" { missed_names(thresholds, report) } else { Vec::new() };
        json::report(out, &EventTime::now(), event, target, report, &missed)?;
    }
    if let Some(error) = &state.error {
        json::error(
            out,
            &EventTime::now(),
            &state.endpoint,
            failure::failure_kind(error),
            &sentence(error.chain()),
        )?;
    }
    Ok(())
}

fn write_page(
    out: &mut dyn Write,
    states: &[TargetState],
    thresholds: Thresholds,
    sweep: Option<RequestSizes>,
) -> Result<()> {
    // Sizes of a sweep that were left out have no section.
    let is_shown = |state: &&TargetState| sweep.is_none() || state.has_begun();
    let shown: Vec<&TargetState> = states.iter().filter(is_shown).collect();
    let zone = local_time_zone();
    let started = states.iter().filter_map(|state| state.target.as_ref()).map(|target| target.started).min();
    let started = zoned(started.unwrap_or_else(unix_now_ns), zone.clone());
    let is_interim = states.iter().filter_map(reported).any(|(event, ..)| event == "interim");
    let title = page::title("sounder ping", &started, is_interim);
    let texts: Vec<(Option<String>, Vec<String>)> = shown
        .iter()
        .map(|state| {
            let error = state.error.as_ref().map(|error| sentence(error.chain()));
            (error, state.report.iter().flat_map(|report| missed_in_words(thresholds, report)).collect())
        })
        .collect();
    let targets: Vec<Measured<'_>> = shown
        .iter()
        .zip(&texts)
        .map(|(state, (error, missed))| Measured {
            endpoint: &state.endpoint,
            target: state.target.as_ref(),
            report: reported(state).map(|(_, _, report)| report),
            error: error.as_deref(),
            missed,
        })
        .collect();
    let path_mtus: Vec<String> = path_mtus(states, sweep).iter().map(ToString::to_string).collect();
    Ok(html::page(out, &title, &zone, &targets, &path_mtus)?)
}
