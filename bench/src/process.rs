//! Processes that are measured: pinned to one core, with the time that they and their children took.

use std::io::{self, Read as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Instant;

use crate::Outcome;

/// Seconds that a process took.
#[derive(Clone, Copy)]
pub struct Cost {
    pub wall: f64,
    pub cpu: f64,
}

impl Cost {
    /// Of each figure by itself.
    pub fn median(runs: usize, mut run: impl FnMut() -> Outcome<Cost>) -> Outcome<Cost> {
        let costs = (0..runs).map(|_| run()).collect::<Outcome<Vec<Cost>>>()?;
        let of = |part: fn(&Cost) -> f64| {
            let mut all: Vec<f64> = costs.iter().map(part).collect();
            all.sort_by(f64::total_cmp);
            all[all.len() / 2]
        };
        Ok(Cost { wall: of(|cost| cost.wall), cpu: of(|cost| cost.cpu) })
    }

    /// A line below [`title`]; the ratio is of rows per CPU-second.
    pub fn print(&self, name: &str, rows: u64, baseline: Option<&Cost>) {
        let millions = rows as f64 / 1e6;
        let ratio = baseline.map_or("-".to_owned(), |baseline| format!("{:.2}", baseline.cpu / self.cpu));
        println!(
            "{name:<34} {:>8.2} {:>8.2} {:>10.2} {:>12.2} {ratio:>16}",
            self.wall,
            self.cpu,
            millions / self.wall,
            millions / self.cpu,
        );
    }
}

/// The head of a table of costs.
pub fn title(what: &str, baseline: &str) {
    println!("\n{what}");
    let of = if baseline.is_empty() { String::new() } else { format!("of {baseline}") };
    println!("{:<34} {:>8} {:>8} {:>10} {:>12} {of:>16}", "", "wall s", "CPU s", "M rows/s", "M rows/CPU-s");
}

/// The core on which everything runs.
pub struct Core {
    #[cfg(target_os = "linux")]
    set: libc::cpu_set_t,
}

impl Core {
    /// The last one that this process may use: the first ones have more of the system's own work.
    #[cfg(target_os = "linux")]
    pub fn choose() -> io::Result<Core> {
        let size = size_of::<libc::cpu_set_t>();
        // SAFETY: a set of cores is bits, for which zero is a value; each call gets a whole set and its size.
        unsafe {
            let mut allowed: libc::cpu_set_t = std::mem::zeroed();
            if libc::sched_getaffinity(0, size, &raw mut allowed) != 0 {
                return Err(io::Error::last_os_error());
            }
            let last = (0..8 * size).rev().find(|core| libc::CPU_ISSET(*core, &allowed)).unwrap_or(0);
            let mut set: libc::cpu_set_t = std::mem::zeroed();
            libc::CPU_SET(last, &mut set);
            Ok(Core { set })
        }
    }

    /// No way to pin a process is known here.
    #[cfg(not(target_os = "linux"))]
    pub fn choose() -> io::Result<Core> {
        Ok(Core {})
    }

    #[cfg(target_os = "linux")]
    fn pin(&self, command: &mut Command) {
        use std::os::unix::process::CommandExt as _;
        let set = self.set;
        let pin = move || {
            // SAFETY: the set is a copy of its own, and lives through the call.
            let result = unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) };
            if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
        };
        // SAFETY: between fork and exec there is one system call, and no allocation.
        unsafe { command.pre_exec(pin) };
    }

    #[cfg(not(target_os = "linux"))]
    fn pin(&self, _command: &mut Command) {}

    /// Runs a command to its end; what it cost, and its standard error.
    pub fn run(&self, command: &mut Command) -> Outcome<(Cost, String)> {
        self.pin(command);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let begun = Instant::now();
        let mut child = command.spawn()?;
        let mut output = String::new();
        if let Some(mut errors) = child.stderr.take() {
            errors.read_to_string(&mut output)?;
        }
        let (status, cpu) = wait(child.id())?;
        let wall = begun.elapsed().as_secs_f64();
        if !status.success() {
            return Err(format!("{command:?}: {status}\n{output}").into());
        }
        Ok((Cost { wall, cpu }, output))
    }
}

/// Waits for a child, as `Child::wait` does, and also says how many seconds of CPU time it has used.
fn wait(child: u32) -> io::Result<(ExitStatus, f64)> {
    let child = child as libc::pid_t;
    let mut status = 0;
    // SAFETY: `rusage` is numbers only, for which zero is a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both places are ours, and nobody else has waited for the child, so the number is still its own.
    let waited = unsafe { libc::wait4(child, &raw mut status, 0, &raw mut usage) };
    if waited != child {
        return Err(io::Error::last_os_error());
    }
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    Ok((ExitStatus::from_raw(status), seconds(usage.ru_utime) + seconds(usage.ru_stime)))
}
