//! Temporary printer.
use super::*;
#[test]
fn print_all() {
    let mut out = String::new();
    for sql in include_str!("/tmp/sqlq.txt").lines().chain(include_str!("/tmp/okq.txt").lines()) {
        out.push_str(&format!("--- {sql}\n"));
        let result = std::panic::catch_unwind(|| compile(&with_tables(sql)));
        match result {
            Ok(Ok(plan)) => { out.push_str(&compiler_ir::print::plan(&plan)); out.push('\n') }
            Ok(Err(errors)) => out.push_str(&messages(&errors)),
            Err(_) => out.push_str("PANIC\n"),
        }
    }
    std::fs::write("/tmp/sqlout.txt", out).unwrap();
}
