//! What is said on stderr while something happens.
//!
//! On a terminal one live line; otherwise one line now and then, so that a log of a long run stays short. Where rows
//! and progress would share one terminal the rows win: then there is the compiling, and the summary at the end.

use std::collections::HashMap;
use std::io::IsTerminal as _;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use controller::{JobState, JobStatus, TaskProgress};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use protocol::job::JobPlan;

/// Between two lines where nobody watches.
const PLAIN_EVERY: Duration = Duration::from_secs(10);
/// Between two turns of the wheel in the live line.
const TICK: Duration = Duration::from_millis(100);

/// Says what is being done.
pub(crate) struct Progress {
    bar: ProgressBar,
    live: bool,
    begun: Instant,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    phase: Option<(String, Instant)>,
    /// The phases that have ended, with their times.
    phases: Vec<(String, Duration)>,
    last_line: Option<Instant>,
    /// The newest attempt whose failure has been told.
    told_generation: Option<u64>,
    rate: Rate,
}

impl Progress {
    pub(crate) fn new() -> Progress {
        let live = std::io::stderr().is_terminal();
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        if live {
            bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(10));
            bar.set_style(
                ProgressStyle::with_template("{spinner} {msg}").unwrap_or_else(|_| ProgressStyle::default_spinner()),
            );
            bar.enable_steady_tick(TICK);
        }
        Progress { bar, live, begun: Instant::now(), state: Mutex::default() }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A step of compiling and starting begins.
    pub(crate) fn phase(&self, name: &str) {
        let mut state = self.state();
        state.end_phase();
        state.phase = Some((name.to_owned(), Instant::now()));
        drop(state);
        self.bar.set_message(name.to_owned());
    }

    /// Everything is compiled.
    pub(crate) fn compiled(&self, cached: bool) {
        let mut state = self.state();
        state.end_phase();
        let phases: Vec<_> =
            state.phases.iter().map(|(name, time)| format!("{name} {:.2}", time.as_secs_f64())).collect();
        let how = if cached { "found compiled" } else { "compiled" };
        let text = format!("{how} in {:.2} s ({})", self.begun.elapsed().as_secs_f64(), phases.join(", "));
        drop(state);
        self.line(&text);
    }

    /// A whole line, above the live one.
    pub(crate) fn line(&self, text: &str) {
        self.bar.suspend(|| eprintln!("{text}"));
    }

    /// Nothing live from here on.
    pub(crate) fn clear(&self) {
        self.bar.finish_and_clear();
    }

    /// Something live again, after all.
    pub(crate) fn resume(&self) {
        if self.live {
            self.bar.reset();
            self.bar.enable_steady_tick(TICK);
        }
    }

    /// The job's state, as often as it changes.
    pub(crate) fn job(&self, status: &JobStatus, plan: &JobPlan, show: bool) {
        let mut state = self.state();
        let totals = Totals::of(&status.progress, plan);
        state.rate.measure(totals.rows_in, Instant::now());
        if let (JobState::Recovering, Some(failure)) = (status.state, &status.failure)
            && state.told_generation != Some(status.generation)
        {
            state.told_generation = Some(status.generation);
            self.bar.suspend(|| eprintln!("recovering (restart {}): {}", status.restarts, failure.message));
        }
        if !show {
            return;
        }
        let text = match status.state {
            JobState::Running | JobState::Stopping => totals.text(status.state, state.rate.per_second),
            other => other.name().to_lowercase(),
        };
        if self.live {
            self.bar.set_message(text);
        } else if status.state == JobState::Running {
            let now = Instant::now();
            let last = *state.last_line.get_or_insert(now);
            if now - last >= PLAIN_EVERY {
                state.last_line = Some(now);
                eprintln!("{text}");
            }
        }
    }

    /// The last line.
    pub(crate) fn summary(&self, status: &JobStatus, plan: &JobPlan, running: Duration) {
        self.clear();
        let totals = Totals::of(&status.progress, plan);
        let seconds = running.as_secs_f64();
        let mut text = format!(
            "{}: {} rows in, {} rows out in {seconds:.2} s",
            status.state.name().to_lowercase(),
            grouped(totals.rows_in),
            grouped(totals.rows_out)
        );
        if seconds > 0.0 {
            text.push_str(&format!(" ({} rows/s)", grouped((totals.rows_in as f64 / seconds) as u64)));
        }
        for (count, what) in [(totals.late, "late rows dropped"), (totals.bad, "bad rows dropped")] {
            if count > 0 {
                text.push_str(&format!(", {} {what}", grouped(count)));
            }
        }
        eprintln!("{text}");
    }
}

impl State {
    fn end_phase(&mut self) {
        if let Some((name, since)) = self.phase.take() {
            self.phases.push((name, since.elapsed()));
        }
    }
}

/// Rows per second over the last reports.
#[derive(Default)]
struct Rate {
    last: Option<(u64, Instant)>,
    per_second: f64,
}

impl Rate {
    fn measure(&mut self, rows: u64, now: Instant) {
        match self.last {
            Some((_, at)) if now.duration_since(at) < Duration::from_millis(200) => {}
            Some((before, at)) => {
                let newest = rows.saturating_sub(before) as f64 / now.duration_since(at).as_secs_f64();
                self.per_second = if self.per_second == 0.0 { newest } else { 0.5 * (self.per_second + newest) };
                self.last = Some((rows, now));
            }
            None => self.last = Some((rows, now)),
        }
    }
}

/// What all tasks have done together.
#[derive(Debug, Default, PartialEq)]
struct Totals {
    /// Rows that sources have read.
    rows_in: u64,
    /// Rows that sinks have written.
    rows_out: u64,
    late: u64,
    bad: u64,
    sources: Vec<Source>,
}

#[derive(Debug, Default, PartialEq)]
struct Source {
    table: String,
    lag: u64,
    /// The least of its tasks; `None` before one has any.
    watermark: Option<i64>,
    ended: bool,
}

impl Totals {
    fn of(progress: &[TaskProgress], plan: &JobPlan) -> Totals {
        let mut totals = Totals::default();
        let mut sources: HashMap<u32, usize> = HashMap::new();
        for task in progress {
            totals.late += task.late_rows;
            totals.bad += task.bad_rows;
            let Some(stage) = plan.stages.get(task.stage as usize) else { continue };
            if stage.sink.is_some() {
                totals.rows_out += task.rows_out;
            }
            let Some(source) = &stage.source else { continue };
            totals.rows_in += task.rows_in;
            let at = *sources.entry(task.stage).or_insert_with(|| {
                totals.sources.push(Source { table: source.table.clone(), ended: true, ..Source::default() });
                totals.sources.len() - 1
            });
            let source = &mut totals.sources[at];
            source.lag += task.lag;
            source.ended &= task.finished;
            source.watermark = match (source.watermark, task.watermark) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
        }
        totals
    }

    fn text(&self, state: JobState, rate: f64) -> String {
        let mut text = match state {
            JobState::Stopping => "stopping: ".to_owned(),
            _ => String::new(),
        };
        text.push_str(&format!(
            "{} rows/s, {} in, {} out",
            grouped(rate as u64),
            grouped(self.rows_in),
            grouped(self.rows_out)
        ));
        for source in self.sources.iter().filter(|source| !source.ended) {
            text.push_str(&format!(" | {}", source.table));
            if let Some(watermark) = source.watermark.filter(|nanos| *nanos != i64::MAX) {
                text.push_str(&format!(" at {}", chrono::DateTime::from_timestamp_nanos(watermark).format("%F %T")));
            }
            if source.lag > 0 {
                text.push_str(&format!(", lag {}", grouped(source.lag)));
            }
        }
        text
    }
}

/// 1234567 as 1,234,567.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use protocol::job::{SinkPlan, SourcePlan, StagePlan};
    use serde_json::json;

    use super::*;

    fn plan() -> JobPlan {
        let source = SourcePlan {
            table: "bids".into(),
            connector: "nexmark".into(),
            options: json!({}),
            metadata: vec![],
            watermark: true,
            idle_micros: None,
        };
        let sink = SinkPlan { table: "out".into(), connector: "stdout".into(), options: json!({}), changelog: None };
        let stage = |id, source, sink| StagePlan {
            id,
            name: String::new(),
            operators: vec![],
            parallelism: 2,
            generated: true,
            source,
            sink,
            input_schema: Default::default(),
            output_schema: Default::default(),
            tables: vec![],
            updating_ttl_micros: None,
        };
        JobPlan {
            code: String::new(),
            stages: vec![stage(0, Some(source), None), stage(1, None, Some(sink))],
            edges: vec![],
        }
    }

    #[test]
    fn totals_add_tasks_and_take_the_least_watermark() {
        let task = |stage, rows_in, rows_out, watermark, lag| TaskProgress {
            stage,
            rows_in,
            rows_out,
            watermark,
            lag,
            late_rows: 1,
            ..TaskProgress::default()
        };
        let progress = [
            task(0, 600, 10, Some(1_000_000_000), 5),
            task(0, 634, 10, Some(2_000_000_000), 6),
            task(1, 20, 19, None, 0),
        ];
        let totals = Totals::of(&progress, &plan());
        assert_eq!((totals.rows_in, totals.rows_out, totals.late), (1234, 19, 3));
        let text = totals.text(JobState::Running, 1234567.8);
        assert_eq!(text, "1,234,567 rows/s, 1,234 in, 19 out | bids at 1970-01-01 00:00:01, lag 11");
    }

    #[test]
    fn a_stage_that_the_plan_does_not_have_is_ignored() {
        let progress = [TaskProgress { stage: 99, rows_in: 1, ..TaskProgress::default() }];
        assert_eq!(Totals::of(&progress, &plan()).rows_in, 0);
    }

    #[test]
    fn numbers_are_grouped() {
        let texts = [0, 999, 1000, 1234567].map(grouped);
        assert_eq!(texts, ["0", "999", "1,000", "1,234,567"]);
    }
}
