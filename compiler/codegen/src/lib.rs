//! Code generation: from a verified graph to the files of a crate.
//!
//! ```text
//!  Cargo.toml          so that a reader can open it as an ordinary crate
//!  src/main.rs         header with the pipeline's stages, table of stages and connectors, `main`
//!  src/<stage>.rs      one module for each stage that does more than pass rows on
//! ```
//!
//! What is the same for every crate comes from `codegen-templates`, what is the same for every query is a function of
//! `worker_lib`; what is quoted here is only what differs.
//!
//! Invariants: the same graph gives the same bytes; parallelism, the options of connectors and the rest of what is data
//! change no byte. Generation cannot fail: a verified graph always has code. Everything generated is read by people:
//! names come from the SQL, doc comments quote it, and rustc has nothing to warn of.
//!
//! **What is not here:** decisions. Which expressions are native, what is fused, what crosses an exchange is in the graph.
//! No generated function is generic or async, and none has a meaning of its own worth a test: that would belong in `worker_lib`.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

use std::collections::{BTreeMap, BTreeSet};

use codegen_templates::Half;
use compiler_ir::{Graph, Stage, StageInput, print};
use proc_macro2::TokenStream;
use quote::quote;

use crate::column::doc_text;
use crate::names::Names;

mod column;
mod expr;
mod names;
mod op;
mod stage;
mod types;

/// Generated files: text by path in the crate.
pub type Files = BTreeMap<String, String>;

/// Names that no module of a generated crate can have.
const RESERVED_MODULES: [&str; 6] = ["main", "std", "core", "alloc", "worker_lib", "kernels"];

/// The crate of a verified graph.
pub fn generate(graph: &Graph) -> Files {
    let connectors = connectors(graph);
    // `main.rs` names these crates beside the modules.
    let linked: Vec<String> =
        connectors.iter().map(|(name, half)| codegen_templates::connector_path(name, *half).crate_name).collect();
    let reserved: Vec<&str> = RESERVED_MODULES.into_iter().chain(linked.iter().map(String::as_str)).collect();
    let mut modules = Names::reserving(&reserved);
    let mut files = Files::new();
    let mut table = Vec::new();
    for stage in graph.stages.iter().filter(|stage| stage::is_generated(stage)) {
        let module = modules.fresh(&stage.name);
        let header = module_header(stage);
        files.insert(format!("src/{module}.rs"), header + &format(stage::generate(graph, stage)));
        table.push((module, stage));
    }
    files.insert("src/main.rs".to_owned(), main_file(graph, &table, &connectors));
    let kernels = graph.stages.iter().flat_map(|stage| &stage.ops).any(uses_kernels);
    files.insert("Cargo.toml".to_owned(), codegen_templates::manifest(&crates(&connectors, kernels)));
    files
}

fn uses_kernels(op: &compiler_ir::StageOp) -> bool {
    matches!(op.kind, compiler_ir::StageOpKind::Compute { .. })
}

/// The halves of connectors that are needed, in order, each once.
fn connectors(graph: &Graph) -> Vec<(&str, Half)> {
    let mut names = BTreeSet::new();
    for stage in &graph.stages {
        if let StageInput::Source(source) = &stage.input {
            names.insert((source.connector.as_str(), Half::Source));
        }
        names.extend(stage.sink.as_ref().map(|sink| (sink.connector.as_str(), Half::Sink)));
    }
    names.into_iter().collect()
}

/// The crates that the generated one needs.
fn crates(connectors: &[(&str, Half)], kernels: bool) -> Vec<String> {
    let paths = connectors.iter().map(|(name, half)| codegen_templates::connector_path(name, *half));
    let mut crates: BTreeSet<String> = paths.map(|path| path.crate_name.replace('_', "-")).collect();
    crates.insert("worker-lib".to_owned());
    if kernels {
        crates.insert("kernels".to_owned());
    }
    crates.into_iter().collect()
}

fn main_file(graph: &Graph, table: &[(proc_macro2::Ident, &Stage)], connectors: &[(&str, Half)]) -> String {
    let modules = table.iter().map(|(module, _)| module);
    let stages = table.iter().map(|(module, stage)| {
        let (id, name) = (proc_macro2::Literal::usize_unsuffixed(stage.id.0), &stage.name);
        quote!(StageDef { id: #id, name: #name, new: #module::new })
    });
    let connectors = connectors.iter().map(|(name, half)| {
        let path = codegen_templates::connector_path(name, *half);
        let (krate, item) = (names::ident(&path.crate_name), names::ident(&path.item));
        quote!(&#krate::#item)
    });
    let mut file = syn::parse_file(codegen_templates::MAIN).expect("the template of main.rs is Rust");
    fill(&mut file, "stages", quote!(&[#(#stages),*]));
    fill(&mut file, "connectors", quote!(&[#(#connectors),*]));
    if table.is_empty() {
        drop_import(&mut file);
    }
    let modules: syn::File = syn::parse_quote!(#(mod #modules;)*);
    let first = file.items.iter().position(|item| !matches!(item, syn::Item::Use(_))).unwrap_or(0);
    file.items.splice(first..first, modules.items);
    file.attrs.clear();
    picture(graph) + &spaced(&prettyplease::unparse(&file))
}

/// Replaces a member of the template's `PIPELINE`.
fn fill(file: &mut syn::File, member: &str, value: TokenStream) {
    for item in &mut file.items {
        if let syn::Item::Static(table) = item
            && let syn::Expr::Struct(pipeline) = &mut *table.expr
            && let Some(field) = pipeline.fields.iter_mut().find(|field| is_named(field, member))
        {
            field.expr = syn::parse_quote!(#value);
        }
    }
}

fn is_named(field: &syn::FieldValue, name: &str) -> bool {
    matches!(&field.member, syn::Member::Named(ident) if ident == name)
}

/// A pipeline without generated stages names no `StageDef`.
fn drop_import(file: &mut syn::File) {
    file.items.retain(|item| !matches!(item, syn::Item::Use(item) if quote!(#item).to_string().contains("StageDef")));
}

/// The header of `main.rs`: the stages and what flows between them.
fn picture(graph: &Graph) -> String {
    let mut lines = vec!["A streaming pipeline, compiled from SQL:".to_owned(), String::new(), "```text".to_owned()];
    for stage in &graph.stages {
        if stage.id.0 > 0 {
            lines.push(String::new());
        }
        lines.push(format!("{} {}", stage.id.0, stage.name));
        for edge in graph.edges_to(stage.id) {
            // How rows reach a mere sink depends on the parallelism.
            let how = if stage::is_generated(stage) { exchange(edge, graph) } else { String::new() };
            let side = print::stage_side(stage, edge).map_or_else(String::new, |side| format!(", on the {side}"));
            lines.push(format!("  ◀── {}{how}{side}", edge.from.0));
        }
        lines.extend(print::stage_operators(stage).into_iter().map(|line| format!("  │ {line}")));
    }
    lines.extend(["```".to_owned(), String::new()]);
    lines.push("Generated; what it calls is documented in `worker_lib`.".to_owned());
    header(&lines)
}

fn exchange(edge: &compiler_ir::Edge, graph: &Graph) -> String {
    match &edge.exchange {
        compiler_ir::Exchange::Forward => String::new(),
        compiler_ir::Exchange::Gather => " gathered".to_owned(),
        compiler_ir::Exchange::Hash(keys) => {
            let fields = &graph.stage(edge.from).output_schema.fields;
            let keys: Vec<String> = keys.iter().map(|&key| print::identifier(&fields[key].name)).collect();
            format!(" by hash of {}", keys.join(", "))
        }
    }
}

fn module_header(stage: &Stage) -> String {
    header(&[format!("Stage {} of the pipeline, `{}`.", stage.id.0, stage.name)])
}

fn header(lines: &[String]) -> String {
    let lines =
        lines.iter().map(|line| format!("//!{}\n", if line.is_empty() { String::new() } else { doc_text(line) }));
    lines.collect::<String>() + "\n"
}

fn format(items: TokenStream) -> String {
    let file = syn::parse2(items).expect("generated items are Rust");
    spaced(&prettyplease::unparse(&file))
}

/// Blank lines between items, which the printer leaves out.
fn spaced(text: &str) -> String {
    let mut out = String::new();
    let mut last = "";
    for line in text.lines() {
        let indent = line.len() - line.trim_start().len();
        let (start, end) = (line.trim_start(), last.trim());
        let begins = ["///", "#[", "fn ", "pub", "impl", "struct", "static"].iter().any(|word| start.starts_with(word));
        let top = indent == 0
            && (end.ends_with(';') || end == "}")
            && !(start.starts_with("use ") || start.starts_with("mod "));
        let inner = indent == 4 && end == "}" && last.starts_with("    }");
        let modules = start.starts_with("mod ") && end.starts_with("use ");
        if (begins && (top || inner)) || modules {
            out.push('\n');
        }
        out.push_str(line);
        out.push('\n');
        last = line;
    }
    out
}
