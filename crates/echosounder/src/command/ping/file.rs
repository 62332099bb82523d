//! The file that a ping's result goes to.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use anyhow::{Context, Result};
use echosounder_client::Happening;
use echosounder_server::local_time_zone;
use jiff::Timestamp;

use super::{State, missed, missed_in_words, since_1970};
use crate::config::Bounds;
use crate::render::page;
use crate::render::ping as render;
use crate::report::{self, sentence};

/// What the result file is to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Json,
    Csv,
    Hdr,
    Html,
}

/// A file for the result, opened before anything is measured.
pub(super) struct ResultFile {
    path: PathBuf,
    form: Form,
    out: BufWriter<File>,
    /// What has failed first; nothing is written behind it.
    error: Option<anyhow::Error>,
}

impl ResultFile {
    pub(super) fn create(path: PathBuf) -> Result<Self> {
        let form = match path.extension().and_then(|ending| ending.to_str()) {
            Some("csv") => Form::Csv,
            Some("hdr") => Form::Hdr,
            Some("html") => Form::Html,
            _ => Form::Json,
        };
        let file = File::create(&path).with_context(|| format!("create {}", path.display()))?;
        let mut result = Self { form, out: BufWriter::new(file), path, error: None };
        if form == Form::Csv {
            result.write(|out| Ok(render::csv_header(out)?));
        }
        Ok(result)
    }

    fn write(&mut self, write: impl FnOnce(&mut BufWriter<File>) -> Result<()>) {
        if self.error.is_some() {
            return;
        }
        // In one piece: that nobody reads a file is a failure, unlike that nobody reads standard output.
        let failed = |error| anyhow::anyhow!("write {}: {error:#}", self.path.display());
        self.error = write(&mut self.out).map_err(failed).err();
    }

    /// A call is a line of a file of calls.
    pub(super) fn note(&mut self, endpoint: &str, happening: &Happening) {
        if self.form == Form::Csv {
            self.write(|out| Ok(render::csv(out, endpoint, happening)?));
        }
    }

    pub(super) fn finish(mut self, states: &[State], bounds: Bounds) -> Result<()> {
        let form = self.form;
        self.write(|out| match form {
            Form::Csv => Ok(()),
            Form::Hdr => render::hdr(out, &states.iter().filter_map(State::result).collect::<Vec<_>>()),
            Form::Json => states.iter().try_for_each(|state| write_objects(out, state, bounds)),
            Form::Html => write_page(out, states, bounds),
        });
        self.write(|out| Ok(out.flush()?));
        self.error.map_or(Ok(()), Err)
    }
}

/// What came of a target, and what has failed.
fn write_objects(out: &mut impl Write, state: &State, bounds: Bounds) -> Result<()> {
    if let Some((target, report)) = state.result() {
        render::report_object(out, "end", target, report, &missed(bounds, report))?;
    }
    if let Some(error) = &state.error {
        render::error_object(out, &state.endpoint, report::word(error), &sentence(error.chain()))?;
    }
    Ok(())
}

fn write_page(out: &mut impl Write, states: &[State], bounds: Bounds) -> Result<()> {
    let started = states.iter().filter_map(|state| state.target.as_ref()).map(|target| target.started).min();
    let started = Timestamp::from_nanosecond(i128::from(started.unwrap_or_else(since_1970)))?;
    let title = started.to_zoned(local_time_zone()).strftime("sounder ping, %F %T %:z").to_string();
    let texts: Vec<(Option<String>, Vec<String>)> = states
        .iter()
        .map(|state| {
            let error = state.error.as_ref().map(|error| sentence(error.chain()));
            (error, state.report.iter().flat_map(|report| missed_in_words(bounds, report)).collect())
        })
        .collect();
    let targets: Vec<page::Target<'_>> = states
        .iter()
        .zip(&texts)
        .map(|(state, (error, missed))| page::Target {
            endpoint: &state.endpoint,
            about: state.target.as_ref(),
            report: state.report.as_deref(),
            error: error.as_deref(),
            missed,
        })
        .collect();
    Ok(page::page(out, &title, &targets)?)
}
