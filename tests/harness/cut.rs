//! Inputs in parts, so that a parallel run has several tasks that read.
//!
//! A line file is read by one task, so of one file two tasks in three would send nothing through any exchange. The
//! parallel run reads a directory with [`PARALLEL`] files instead, among which the rows have been dealt out; CSV files
//! keep their header. The plan names the directory in place of the file: paths are data, and `single_file` reads with
//! the code of `filesystem`, so neither the query nor the binary knows.
//!
//! The order of rows is nobody's promise, so all that could come out otherwise is which rows are late. None is, in
//! either run: a watermark follows the batch that it is taken from, a file of up to [`BATCH_ROWS`] lines is one batch,
//! as is each of its parts, and a task that receives from several waits for the watermarks of all of them. Longer files
//! stay whole.
//!
//! What is not cut: directories, wildcards, Parquet (shared by row groups anyway), compressed files, inputs of cases
//! that fail (the message may name the place), and of those with a `.whole`.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::case::Case;
use super::running::PARALLEL;

/// Rows of a source's batch, unless the worker is told otherwise.
const BATCH_ROWS: usize = 512;

/// Cuts the line files that the sources of a plan read into directories below `into`, and names these in the plan.
pub(crate) fn inputs(case: &Case, plan: &mut Value, into: &Path) -> Result<(), String> {
    if case.has(".whole") || case.has("error.txt") {
        return Ok(());
    }
    let stages = plan["stages"].as_array_mut().ok_or("the plan has no stages")?;
    for (number, stage) in stages.iter_mut().enumerate() {
        let source = &mut stage["source"];
        if !matches!(source["connector"].as_str(), Some("single_file" | "filesystem")) {
            continue;
        }
        let options = &mut source["options"];
        let directory = into.join(number.to_string());
        if cut(case, options, &directory)? {
            options["path"] = Value::from(directory.to_string_lossy().into_owned());
        }
    }
    Ok(())
}

/// Deals out the rows of one table's file. False when it has to stay as it is.
fn cut(case: &Case, options: &Value, into: &Path) -> Result<bool, String> {
    let path = case.path(options["path"].as_str().unwrap_or_default());
    let format = &options["reading"]["format"];
    let lines = matches!(format["name"].as_str(), Some("json" | "csv" | "raw_string" | "raw_bytes"));
    let compressed = path.extension().is_some_and(|extension| extension == "gz" || extension == "zst");
    let plain = !compressed && options["compression"].is_null() && options["pattern"].is_null();
    if !lines || !plain || !path.is_file() {
        return Ok(false);
    }
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    let Ok(text) = String::from_utf8(fs::read(&path).map_err(failed)?) else { return Ok(false) };
    let headed = format["name"] == "csv" && format["header"] == true;
    let (header, rows) = match text.split_once('\n') {
        Some((header, rows)) if headed => (Some(header), rows),
        _ => (None, text.as_str()),
    };
    if rows.lines().count() > BATCH_ROWS {
        return Ok(false);
    }
    fs::create_dir_all(into).map_err(failed)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    for part in 0..PARALLEL {
        let lines = header.into_iter().chain(rows.lines().skip(part).step_by(PARALLEL));
        let text: String = lines.map(|line| format!("{line}\n")).collect();
        fs::write(into.join(format!("{part}-{name}")), text).map_err(failed)?;
    }
    Ok(true)
}
