//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use compiler_driver::View;
use controller::{Allowed, RestorePoint, StopMode};

const EXIT_CODES: &str = "\
Exit codes:
    0  the input ended, or the job was stopped in good order
    1  the job failed
    2  wrong arguments or configuration
    3  the query has errors
    4  the pipeline could not be built
  130  given up by a second Ctrl-C";

/// Compiles streaming SQL into native pipelines and runs them
#[derive(Debug, Parser)]
#[command(name = "streamwright", version, after_help = EXIT_CODES)]
pub(crate) struct Arguments {
    /// Configuration file (TOML or JSON)
    #[arg(short, long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Directory of configuration files, read in order of name
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) config_dir: Option<PathBuf>,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Compile a query and run it here; rows go to stdout as JSON lines
    Run(Run),
    /// Say what is wrong with a query
    Check(Check),
    /// Show what a query is compiled to
    Explain(Explain),
    /// Compile queries into the artifact store
    Build(Build),
    /// Write the libraries that pipelines are linked with, for machines without the source tree
    Bundle(Bundle),
    /// Look into the checkpoints of a state directory
    State(State),
    /// Have a running job take a checkpoint now, and give it a name; the job goes on
    Savepoint(Savepoint),
    /// Have a running job take a checkpoint now
    Checkpoint(Asked),
    /// Stop a running job
    Stop(Stop),
    /// Say how a running job is
    Status(Status),
}

// Which running job is meant. (Documentation would become that of the commands.)
#[derive(Debug, Args)]
pub(crate) struct Asked {
    /// The state directory that the job runs on (a path or file:// URL)
    #[arg(short, long, value_name = "URL")]
    pub(crate) state_dir: Option<String>,

    /// A job, by its id or the beginning of it; the last one if missing
    #[arg(long, value_name = "ID")]
    pub(crate) job: Option<String>,

    /// Set a configuration key
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Savepoint {
    /// The checkpoint's name, under which it is kept
    #[arg(value_parser = savepoint)]
    pub(crate) name: String,

    #[command(flatten)]
    pub(crate) asked: Asked,
}

#[derive(Debug, Args)]
pub(crate) struct Stop {
    #[command(flatten)]
    pub(crate) asked: Asked,

    /// With a checkpoint that it can go on from; gracefully, with all that was read; or at once
    #[arg(long, value_enum, default_value_t = Mode::Checkpoint)]
    pub(crate) mode: Mode,

    /// Give the checkpoint that it stops with a name, under which it is kept
    #[arg(long, value_name = "NAME", value_parser = savepoint)]
    pub(crate) savepoint: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    Checkpoint,
    Graceful,
    Immediate,
}

impl From<Mode> for StopMode {
    fn from(mode: Mode) -> StopMode {
        match mode {
            Mode::Checkpoint => StopMode::Checkpoint,
            Mode::Graceful => StopMode::Graceful,
            Mode::Immediate => StopMode::Immediate,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct Status {
    #[command(flatten)]
    pub(crate) asked: Asked,

    /// Print as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    /// A file, `-` for stdin, or the text itself; the configuration's `run.query` if missing
    pub(crate) query: Option<String>,

    /// Name of the pipeline; the file's name if missing
    #[arg(short, long)]
    pub(crate) name: Option<String>,

    /// Where the state of jobs is kept (a path or file:// URL); a temporary directory if missing
    #[arg(short, long, value_name = "URL")]
    pub(crate) state_dir: Option<String>,

    /// Parallel tasks of each stage
    #[arg(short, long, value_name = "N", default_value_t = 1, value_parser = parallelism)]
    pub(crate) parallelism: usize,

    /// Begin anew, as another job, whatever the state directory has
    #[arg(short, long, conflicts_with = "restore")]
    pub(crate) force: bool,

    /// Write to a file, as JSON, how the job has ended and what each task has counted
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    /// What to go on from: latest, the number of an epoch, or savepoint:NAME
    #[arg(long, value_name = "CHECKPOINT", default_value_t)]
    pub(crate) restore: RestorePoint,

    /// Give the checkpoint that Ctrl-C stops with a name, under which it is kept
    #[arg(long, value_name = "NAME", value_parser = savepoint)]
    pub(crate) savepoint_on_stop: Option<String>,

    #[command(flatten)]
    pub(crate) change: Change,

    /// Go on with the state of another query without asking
    #[arg(short, long)]
    pub(crate) yes: bool,

    /// Set a configuration key, as in pipeline.source-batch-size=1024
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
}

// What may be wrong when a changed query goes on with the state of the one before. (Documentation would become that of
// the commands.)
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Change {
    /// Let go of state that the query has no place for
    #[arg(long)]
    pub(crate) allow_lost_state: bool,

    /// Let what is open have results of which one part is the query's before
    #[arg(long)]
    pub(crate) allow_mixed_results: bool,
}

impl Change {
    pub(crate) fn allowed(self) -> Allowed {
        Allowed { lost_state: self.allow_lost_state, mixed_results: self.allow_mixed_results }
    }
}

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// A file, `-` for stdin, or the text itself
    pub(crate) query: String,

    /// Print the messages to stdout as JSON
    #[arg(long)]
    pub(crate) json: bool,

    /// Set a configuration key
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// A file, `-` for stdin, or the text itself
    pub(crate) query: String,

    /// Which representation: ast, bound, logical, plan, stream, rust or job
    #[arg(long, default_value_t = View::Stream)]
    pub(crate) view: View,

    /// Parallel tasks of each stage
    #[arg(short, long, value_name = "N", default_value_t = 1, value_parser = parallelism)]
    pub(crate) parallelism: usize,

    /// Set a configuration key
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Build {
    /// Files, `-` for stdin, or the text itself
    #[arg(required = true, value_name = "QUERY")]
    pub(crate) queries: Vec<String>,

    /// Where artifacts go, instead of `compiler.artifact-url`
    #[arg(long, value_name = "URL")]
    pub(crate) artifact_url: Option<String>,

    /// Parallel tasks of each stage
    #[arg(short, long, value_name = "N", default_value_t = 1, value_parser = parallelism)]
    pub(crate) parallelism: usize,

    /// Print to stdout as JSON, one object a line and query
    #[arg(long)]
    pub(crate) json: bool,

    /// Set a configuration key
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Bundle {
    /// Where to write it
    pub(crate) directory: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct State {
    #[command(subcommand)]
    pub(crate) command: StateCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum StateCommand {
    /// List jobs with their checkpoints and savepoints
    Ls(StateLs),
    /// Show what a checkpoint is made of
    Show(StateShow),
    /// Compare two checkpoints, or a checkpoint with what a query keeps
    Diff(StateDiff),
    /// Write the live rows of a table
    Export(StateExport),
    /// Show how the last hundred checkpoints went: how long each step took, and what was written
    History(StateHistory),
}

impl StateCommand {
    pub(crate) fn place(&self) -> &StatePlace {
        match self {
            StateCommand::Ls(ls) => &ls.place,
            StateCommand::Show(show) => &show.place,
            StateCommand::Diff(diff) => &diff.place,
            StateCommand::Export(export) => &export.place,
            StateCommand::History(history) => &history.place,
        }
    }
}

// Which checkpoints are meant. (Documentation would become that of the commands.)
#[derive(Debug, Args)]
pub(crate) struct StatePlace {
    /// Where the state of jobs is kept (a path or file:// URL)
    #[arg(short, long, value_name = "URL")]
    pub(crate) state_dir: Option<String>,

    /// Where checkpoints are kept, if not in the state directory
    #[arg(long, value_name = "URL")]
    pub(crate) checkpoint_url: Option<String>,

    /// A job, by its id or the beginning of it; the last one if missing
    #[arg(long, value_name = "ID")]
    pub(crate) job: Option<String>,

    /// Set a configuration key
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct StateLs {
    #[command(flatten)]
    pub(crate) place: StatePlace,

    /// Print as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct StateShow {
    /// latest, the number of an epoch, or savepoint:NAME
    #[arg(value_name = "CHECKPOINT", default_value_t)]
    pub(crate) checkpoint: RestorePoint,

    #[command(flatten)]
    pub(crate) place: StatePlace,

    /// Print the manifest, which is JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct StateDiff {
    /// The earlier one: latest, the number of an epoch, or savepoint:NAME
    #[arg(value_name = "CHECKPOINT")]
    pub(crate) before: RestorePoint,

    /// The later one, or a query: a file, `-` for stdin, or the text itself
    #[arg(value_name = "CHECKPOINT|QUERY", default_value = "latest")]
    pub(crate) after: String,

    #[command(flatten)]
    pub(crate) place: StatePlace,

    #[command(flatten)]
    pub(crate) change: Change,

    /// Print as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct StateHistory {
    /// The number of an epoch: what each task had to do with it
    #[arg(value_name = "EPOCH")]
    pub(crate) epoch: Option<u64>,

    #[command(flatten)]
    pub(crate) place: StatePlace,

    /// Print as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct StateExport {
    /// latest, the number of an epoch, or savepoint:NAME
    #[arg(value_name = "CHECKPOINT")]
    pub(crate) checkpoint: RestorePoint,

    /// STAGE/TABLE, or TABLE where only one stage has such a table
    pub(crate) table: String,

    /// A file, which becomes Parquet; - prints JSON lines
    pub(crate) file: String,

    #[command(flatten)]
    pub(crate) place: StatePlace,
}

/// More tasks than this are a typing error on any machine there is.
const MOST_PARALLELISM: usize = 4096;

fn savepoint(name: &str) -> Result<String, String> {
    match controller::check_savepoint_name(name) {
        Ok(()) => Ok(name.to_owned()),
        Err(error) => Err(error.hint().map_or_else(|| error.to_string(), |hint| format!("{error}: {hint}"))),
    }
}

fn parallelism(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(tasks @ 1..=MOST_PARALLELISM) => Ok(tasks),
        _ => Err(format!("must be a number from 1 to {MOST_PARALLELISM}")),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn arguments_that_users_know() {
        let line = "streamwright run q.sql -n flights -s /tmp/state -p 3 -f --set a.b=c -c conf.toml";
        let arguments = Arguments::try_parse_from(line.split(' ')).unwrap();
        let Command::Run(run) = arguments.command else { panic!("not run") };
        assert_eq!(run.query.as_deref(), Some("q.sql"));
        assert_eq!((run.parallelism, run.force, run.set.as_slice()), (3, true, &["a.b=c".to_string()][..]));
        assert_eq!(arguments.config, Some("conf.toml".into()));
        assert_eq!(run.restore, RestorePoint::Latest);
        assert!(Arguments::try_parse_from(["streamwright", "run", "-p", "0"]).is_err());
        assert!(Arguments::try_parse_from(["streamwright", "explain", "q", "--view", "physical"]).is_err());
    }

    #[test]
    fn a_running_job_is_asked() {
        let parse = |line: &str| Arguments::try_parse_from(line.split(' ')).map(|arguments| arguments.command);
        let Ok(Command::Savepoint(savepoint)) = parse("streamwright savepoint monday -s state") else { panic!() };
        assert_eq!((savepoint.name.as_str(), savepoint.asked.state_dir.as_deref()), ("monday", Some("state")));
        let Ok(Command::Stop(stop)) = parse("streamwright stop -s state") else { panic!() };
        assert_eq!((stop.mode, stop.savepoint), (Mode::Checkpoint, None));
        let Ok(Command::Stop(stop)) = parse("streamwright stop --mode immediate") else { panic!() };
        assert_eq!(StopMode::from(stop.mode), StopMode::Immediate);
        assert!(parse("streamwright savepoint a/b -s state").is_err());
        assert!(parse("streamwright stop --mode force").is_err());
    }

    #[test]
    fn checkpoints_are_named_in_three_ways() {
        let first = ["streamwright", "run", "q.sql"];
        let restore = |words: &[&str]| {
            let line = first.iter().chain(words);
            let Command::Run(run) = Arguments::try_parse_from(line).ok()?.command else { panic!("not run") };
            Some((run.restore, run.savepoint_on_stop))
        };
        assert_eq!(restore(&["--restore", "7"]), Some((RestorePoint::Epoch(7), None)));
        let named = RestorePoint::Savepoint("monday".into());
        let words = ["--restore", "savepoint:monday", "--savepoint-on-stop", "tuesday"];
        assert_eq!(restore(&words), Some((named, Some("tuesday".into()))));
        for wrong in [&["--restore", "monday"][..], &["--savepoint-on-stop", "a/b"], &["-f", "--restore", "7"]] {
            assert_eq!(restore(wrong), None, "{wrong:?}");
        }
    }
}
