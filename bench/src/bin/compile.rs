//! How long a user waits: from a file with SQL to a verified artifact in the store, opt-level 3, dependencies built.
//!
//! For each query of `queries/compile`: the time with a fresh store (median of several runs) and where it went, the
//! same query again, the query with other whitespace and other paths (which must start no compiler), and as a
//! baseline the same generated crate built by cargo with its release profile against the same prebuilt libraries.
//!
//! ```text
//! cargo build --release -p cli && cargo run --release -p bench --bin compile -- [RUNS] [QUERY...]
//! ```

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use artifacts::{Manifest, Store};
use compiler_driver::{CompileOptions, CompileRequest, Compiled};
use compiler_service::{BuildOptions, Built, Bundle};

type Outcome<T> = Result<T, Box<dyn Error>>;

const RUNS: usize = 7;

fn main() -> Outcome<()> {
    let mut args = std::env::args().skip(1).peekable();
    let runs = args.next_if(|arg| arg.parse::<usize>().is_ok()).map_or(RUNS, |arg| arg.parse().unwrap_or(RUNS)).max(1);
    let wanted: Vec<String> = args.collect();
    let start = Instant::now();
    let bundle = Bundle::find(None)?;
    println!("bundle {} ({}), opened in {:.1} ms", bundle.digest().short(), bundle.rustc(), millis(start));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for query in queries()?.iter().filter(|query| wanted.is_empty() || wanted.contains(&stem(query))) {
        runtime.block_on(measure(query, &bundle, runs))?;
    }
    Ok(())
}

fn queries() -> Outcome<Vec<PathBuf>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("queries/compile");
    let mut paths = std::fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect::<Outcome<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

async fn measure(query: &Path, bundle: &Bundle, runs: usize) -> Outcome<()> {
    let scratch = tempfile::tempdir()?;
    let options = |name: &str| -> Outcome<BuildOptions> {
        let directory = scratch.path().join(name);
        let store = Store::open(&directory.join("artifacts").to_string_lossy())?;
        Ok(BuildOptions::new(bundle.clone(), store, directory.join("build")))
    };
    let mut fresh = Series::default();
    for run in 0..runs {
        let built = fresh.time(query, &options(&format!("fresh-{run}"))?).await?;
        assert!(!built.cached, "a fresh store has nothing");
    }
    let warm = options("fresh-0")?;
    let mut again = Series::default();
    for _ in 0..runs {
        let built = again.time(query, &warm).await?;
        assert!(built.cached, "the same query is not built again");
    }
    let sql = std::fs::read_to_string(query)?;
    let compiled = compile(&sql)?;
    let built = compiler_service::build(&compiled, &warm).await?;
    let llvm = compiler_service::llvm_lines(&compiled, &warm).await?;

    println!("\n{}", stem(query));
    println!("  SQL to artifact      {:>8.0} ms  (median of {runs})", fresh.total());
    fresh.print_phases();
    println!("  the same again       {:>8.1} ms", again.total());
    again.print_phases();
    for (what, changed) in [("other whitespace", relaid(&sql)), ("other paths", sql.replace("/tmp/", "/var/data/"))] {
        let built = compiler_service::build(&compile(&changed)?, &warm).await?;
        println!("  {what:<20} {}", if built.cached { "   no compiler started" } else { "   COMPILED AGAIN" });
    }
    println!("  generated lines      {:>8}", compiled.lines());
    println!("  LLVM lines           {llvm:>8}");
    println!("  binary               {:>8.2} MB", built.binary.size as f64 / 1e6);
    println!(
        "  baseline: cargo      {:>8.0} ms  (release profile, same crate, same libraries)",
        cargo(&compiled, bundle, runs)?
    );
    log_warnings(&built, &warm)?;
    Ok(())
}

fn compile(sql: &str) -> Outcome<Compiled> {
    let request = CompileRequest::new(sql, CompileOptions::default());
    Ok(compiler_driver::compile(&request).map_err(|found| compiler_driver::render(&found, "query.sql", sql, false))?)
}

/// The query as another hand might have laid it out.
fn relaid(sql: &str) -> String {
    let code: Vec<&str> = sql.lines().filter(|line| !line.starts_with("--")).collect();
    format!("-- the same\n\n{}\n", code.join("\n").replace('\n', "\n\t ").replace(", ", ",\n    "))
}

/// Generated code is without warnings; if it has some, this is where to see them.
fn log_warnings(built: &Built, options: &BuildOptions) -> Outcome<()> {
    if let Some(log) = built.manifest.outputs.get(Manifest::LOG) {
        println!("  the compiler said:\n{}", String::from_utf8_lossy(&options.store.read(&log.digest)?));
    }
    Ok(())
}

/// Runs of the same work.
#[derive(Default)]
struct Series {
    totals: Vec<f64>,
    /// In the order of the first run.
    phases: Vec<(String, Vec<f64>)>,
}

impl Series {
    async fn time(&mut self, query: &Path, options: &BuildOptions) -> Outcome<Built> {
        let start = Instant::now();
        let compiled = compile(&std::fs::read_to_string(query)?)?;
        let before_build = millis(start);
        let built = compiler_service::build(&compiled, options).await?;
        self.totals.push(millis(start));
        self.phase("front end", before_build);
        for phase in &built.phases {
            self.phase(&phase.name, phase.millis);
        }
        Ok(built)
    }

    fn phase(&mut self, name: &str, millis: f64) {
        match self.phases.iter_mut().find(|(known, _)| known == name) {
            Some((_, all)) => all.push(millis),
            None => self.phases.push((name.to_owned(), vec![millis])),
        }
    }

    fn total(&self) -> f64 {
        median(&self.totals)
    }

    fn print_phases(&self) {
        for (name, times) in &self.phases {
            println!("    {name:<18} {:>8.1} ms", median(times));
        }
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

fn millis(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

/// What cargo needs for the same crate. The libraries are given as flags, as cargo has no way to depend on a bundle.
fn cargo(compiled: &Compiled, bundle: &Bundle, runs: usize) -> Outcome<f64> {
    let lib = bundle.directory().join("lib");
    let mut flags = bundle.spec().flags.clone();
    for (name, file) in &bundle.spec().crates {
        flags.extend(["--extern".to_owned(), format!("{name}={}", lib.join(file).display())]);
    }
    flags.extend(["-L".to_owned(), format!("dependency={}", lib.display())]);
    let mut files: BTreeMap<String, String> = compiled.files.clone();
    let manifest = "[package]\nname = \"pipeline\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[workspace]\n";
    files.insert("Cargo.toml".to_owned(), manifest.to_owned());
    let mut times = Vec::new();
    for _ in 0..runs.min(3) {
        let directory = tempfile::tempdir()?;
        for (path, text) in &files {
            let path = directory.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap_or(directory.path()))?;
            std::fs::write(path, text)?;
        }
        let start = Instant::now();
        let output = Command::new("cargo")
            .args(["build", "--release", "--offline", "--quiet", "--target-dir", "target"])
            .current_dir(directory.path())
            .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
            .env("STREAMWRIGHT_CODE", &compiled.code)
            .output()?;
        times.push(millis(start));
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
        }
    }
    Ok(median(&times))
}
