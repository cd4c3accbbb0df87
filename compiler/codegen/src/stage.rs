//! A stage: one module with one struct, whose callbacks read as the list of the stage's operators.
//!
//! ```text
//!   pub(crate) fn new()          constructor, for the table in main.rs
//!   pub(crate) struct Name       kernels, windows, states; nothing for a stage without any
//!   impl Stage for Name          on_batch, on_watermark: the steps
//!   impl Name                    steps that need a field
//!   fn ...                       steps and columns that need none
//! ```
//!
//! The steps pass on a local `batch` and, behind a filter, a local `selection` of its rows.

use std::collections::{BTreeMap, BTreeSet};

use compiler_ir::{Graph, Phase, Stage, StageInput, StageOpKind, print};
use proc_macro2::{Ident, TokenStream, TokenTree};
use quote::quote;

use crate::column::{Rows, doc_text};
use crate::expr;
use crate::names::{Names, ident};
use crate::op;
use crate::op::filter::FilterFn;

/// Names that a stage's module or its callbacks use.
const RESERVED: [&str; 25] = [
    "new",
    "main",
    "batch",
    "selection",
    "cx",
    "watermark_",
    "closed",
    "flush",
    "results",
    "pass_on",
    "on_barrier",
    "on_batch",
    "on_timer",
    "on_watermark",
    "restore",
    "restored",
    "snapshot",
    "group_columns",
    "result_columns",
    "memory",
    "evict",
    "thaw",
    "put_states",
    "state_rows",
    "state_columns",
];

/// Types that a module names without an import; `Self` is no name at all.
const PRELUDE: [&str; 10] = ["Box", "Clone", "Default", "None", "Ok", "Option", "Result", "Self", "Some", "Vec"];

/// What generated code may import: the name, and where it is from.
const IMPORTS: [(&str, &str); 40] = [
    ("Kernel", "kernels::Kernel"),
    ("Param", "kernels::Param"),
    ("agg", "worker_lib::agg"),
    ("Avg", "worker_lib::agg::Avg"),
    ("AvgDecimal", "worker_lib::agg::AvgDecimal"),
    ("Count", "worker_lib::agg::Count"),
    ("Distinct", "worker_lib::agg::Distinct"),
    ("Max", "worker_lib::agg::Max"),
    ("MaxBinary", "worker_lib::agg::MaxBinary"),
    ("MaxText", "worker_lib::agg::MaxText"),
    ("Min", "worker_lib::agg::Min"),
    ("MinBinary", "worker_lib::agg::MinBinary"),
    ("MinText", "worker_lib::agg::MinText"),
    ("Sum", "worker_lib::agg::Sum"),
    ("Total", "worker_lib::agg::Total"),
    ("column", "worker_lib::column"),
    ("ArrayRef", "worker_lib::column::ArrayRef"),
    ("Field", "worker_lib::column::Field"),
    ("IntervalMonthDayNano", "worker_lib::column::IntervalMonthDayNano"),
    ("ScalarType", "worker_lib::column::ScalarType"),
    ("TimeUnit", "worker_lib::column::TimeUnit"),
    ("scalar", "worker_lib::scalar"),
    ("Errors", "worker_lib::scalar::Errors"),
    ("Rows", "worker_lib::select::Rows"),
    ("Selection", "worker_lib::select::Selection"),
    ("TableRows", "worker_lib::state::TableRows"),
    ("Accumulators", "worker_lib::updating::Accumulators"),
    ("Updating", "worker_lib::updating::Updating"),
    ("window", "worker_lib::window"),
    ("Changed", "worker_lib::window::Changed"),
    ("Closed", "worker_lib::window::Closed"),
    ("Input", "worker_lib::window::Input"),
    ("States", "worker_lib::window::States"),
    ("Tumble", "worker_lib::window::Tumble"),
    ("JoinKind", "worker_lib::window_join::JoinKind"),
    ("WindowJoin", "worker_lib::window_join::WindowJoin"),
    ("Batch", "worker_lib::Batch"),
    ("Stage", "worker_lib::Stage"),
    ("StageContext", "worker_lib::StageContext"),
    ("TaskError", "worker_lib::TaskError"),
];

/// The text of a stage's module, but for its header.
pub(crate) fn generate(graph: &Graph, stage: &Stage) -> TokenStream {
    let mut code = StageCode::new(&stage.name);
    let mut schema = &stage.input_schema;
    for (index, op) in stage.ops.iter().enumerate() {
        match &op.kind {
            StageOpKind::Watermark { expr } => op::watermark::generate(&mut code, expr, schema, &op.note),
            StageOpKind::Filter { predicate } => op::filter::generate(&mut code, predicate, schema, &op.note),
            StageOpKind::Compute { columns } => {
                op::compute::generate(&mut code, columns, schema, &stage.ops[index..]);
            }
            StageOpKind::Project { columns } => op::project::generate(&mut code, columns, schema, &op.note),
            StageOpKind::Tumble { tumble, phase } => {
                op::tumble::generate(&mut code, tumble, *phase, schema, &op.note);
            }
            StageOpKind::Updating(updating) => op::updating::generate(&mut code, updating, schema, &op.note),
            StageOpKind::WindowJoin(join) => op::window_join::generate(&mut code, join, schema),
        }
        schema = &op.schema;
    }
    code.finish(&describe(graph, stage))
}

/// `Stage 1: what it does`, a line each.
fn describe(graph: &Graph, stage: &Stage) -> Vec<String> {
    let mut lines = vec![format!("Stage {}, fused from:", stage.id.0)];
    if matches!(stage.input, StageInput::Edges) {
        for edge in graph.edges_to(stage.id) {
            let side = print::stage_side(stage, edge).map_or_else(String::new, |side| format!(", on the {side}"));
            lines.push(format!("- rows of stage {}{side}", edge.from.0));
        }
    }
    lines.extend(print::stage_operators(stage).into_iter().map(|line| format!("- `{line}`")));
    lines
}

/// Where the statements being generated will stand.
enum Callback {
    Batch,
    /// In a method that gets what the stage's first operator emits, an aggregate or a join.
    Results,
}

/// A module being generated.
pub(crate) struct StageCode {
    names: Names,
    field_names: Names,
    name: Ident,
    fields: Vec<(Ident, TokenStream, TokenStream)>,
    types: TokenStream,
    methods: TokenStream,
    functions: TokenStream,
    /// Statements of the callback so far.
    body: Vec<TokenStream>,
    callback: Callback,
    rows: Rows,
    /// The statement that declares `selection`, without `mut` and with it.
    declared: Option<(usize, TokenStream)>,
    /// `on_batch`, when `body` is no longer its.
    on_batch: Option<TokenStream>,
    on_watermark: TokenStream,
    /// Further methods of `impl Stage`.
    checkpoints: TokenStream,
    /// The last statement has consumed `batch`.
    consumed: bool,
}

impl StageCode {
    fn new(name: &str) -> StageCode {
        let mut types = Names::reserving(&[PRELUDE.as_slice(), &IMPORTS.map(|(name, _)| name)].concat());
        StageCode {
            names: Names::reserving(&[RESERVED.as_slice(), &IMPORTS.map(|(name, _)| name)].concat()),
            field_names: Names::default(),
            name: types.fresh_type(name),
            fields: Vec::new(),
            types: TokenStream::new(),
            methods: TokenStream::new(),
            functions: TokenStream::new(),
            body: Vec::new(),
            callback: Callback::Batch,
            rows: Rows::All,
            declared: None,
            on_batch: None,
            on_watermark: TokenStream::new(),
            checkpoints: TokenStream::new(),
            consumed: false,
        }
    }

    /// The stage's type.
    pub(crate) fn type_name(&self) -> &Ident {
        &self.name
    }

    /// A name for a function or a method.
    pub(crate) fn function_name(&mut self, wish: &str) -> Ident {
        self.names.fresh(wish)
    }

    pub(crate) fn add_function(&mut self, item: TokenStream) {
        self.functions.extend(item);
    }

    pub(crate) fn add_type(&mut self, item: TokenStream) {
        self.types.extend(item);
    }

    pub(crate) fn add_method(&mut self, item: TokenStream) {
        self.methods.extend(item);
    }

    /// A field with its initial value; its name.
    pub(crate) fn add_field(&mut self, wish: &str, ty: TokenStream, init: TokenStream) -> Ident {
        let name = self.field_names.fresh(wish);
        self.fields.push((name.clone(), ty, init));
        name
    }

    /// Which rows of `batch` are left.
    pub(crate) fn rows(&self) -> Rows {
        self.rows
    }

    /// A statement.
    pub(crate) fn step(&mut self, statement: TokenStream) {
        self.body.push(statement);
    }

    /// Makes a selection, or narrows the one there is, by the function that `make(name, narrows)` makes.
    pub(crate) fn narrow(&mut self, make: &dyn Fn(&Ident, bool) -> FilterFn) {
        let name = self.names.fresh("filter");
        let narrows = self.rows == Rows::Selected;
        let FilterFn { item, fallible } = make(&name, narrows);
        self.functions.extend(item);
        let question = fallible.then(|| quote!(?));
        if narrows {
            if let Some((index, mutable)) = self.declared.take() {
                self.body[index] = mutable;
            }
            self.body.push(quote!(#name(&batch, &mut selection)#question;));
        } else {
            self.declared = Some((self.body.len(), quote!(let mut selection = #name(&batch)#question;)));
            self.body.push(quote!(let selection = #name(&batch)#question;));
        }
        self.body.push(quote!(if selection.is_empty() {
            return Ok(());
        }));
        self.rows = Rows::Selected;
    }

    /// `batch` becomes what a function makes of it and of the selection.
    pub(crate) fn replace_batch(&mut self, function: &Ident, fallible: bool) {
        let selection = self.rows.argument(&quote!(&selection));
        let question = fallible.then(|| quote!(?));
        self.body.push(quote!(let batch = #function(&batch #selection)#question;));
        self.rows = Rows::All;
        self.declared = None;
    }

    /// `batch` becomes its selected rows, with these columns only (`None`: all).
    pub(crate) fn compact(&mut self, columns: Option<&[usize]>) {
        if self.rows == Rows::Selected {
            self.body.push(match columns {
                None => quote!(let batch = selection.take_batch(&batch);),
                Some(columns) => {
                    let columns = expr::path_tokens(columns);
                    quote!(let batch = selection.take_columns(&batch, &#columns);)
                }
            });
        }
        self.rows = Rows::All;
        self.declared = None;
    }

    /// `batch` gets the columns that methods compute of it.
    pub(crate) fn append_columns(&mut self, columns: &[Ident]) {
        let name = self.names.fresh("compute");
        self.methods.extend(quote! {
            #[doc = " Appends what kernels compute."]
            fn #name(&self, mut batch: Batch) -> Result<Batch, TaskError> {
                let columns = [#(self.#columns(&batch)?),*];
                batch.columns.extend(columns);
                Ok(batch)
            }
        });
        self.body.push(quote!(let batch = self.#name(batch)?;));
    }

    /// `batch` and its selection go to a method, which ends the callback.
    pub(crate) fn consume(&mut self, method: &Ident) {
        let selection = self.rows.argument(&quote!(&selection));
        self.body.push(quote!(self.#method(&batch #selection, cx)));
        self.consumed = true;
    }

    /// The last statement is the callback's result.
    pub(crate) fn end_with_last_step(&mut self) {
        self.consumed = true;
    }

    /// What happens when the watermark advances, with `watermark` and `cx` in scope; a `Result`.
    pub(crate) fn set_on_watermark(&mut self, body: TokenStream) {
        self.on_watermark = body;
    }

    /// How the stage takes part in checkpoints: methods of `impl Stage`.
    pub(crate) fn set_checkpoints(&mut self, methods: TokenStream) {
        self.checkpoints = methods;
    }

    /// The operators that follow get batches of results, in a method of its own.
    pub(crate) fn begin_results(&mut self) {
        self.on_batch = Some(self.take_body());
        self.callback = Callback::Results;
        self.rows = Rows::All;
        self.consumed = false;
    }

    fn take_body(&mut self) -> TokenStream {
        let statements = std::mem::take(&mut self.body);
        let end = match (self.consumed, self.rows) {
            (true, _) => TokenStream::new(),
            (false, Rows::All) => quote!(cx.emit(batch); Ok(())),
            (false, Rows::Selected) => quote!(cx.emit(selection.take_batch(&batch)); Ok(())),
        };
        quote!(#(#statements)* #end)
    }

    fn finish(mut self, description: &[String]) -> TokenStream {
        let body = self.take_body();
        let on_batch = match (self.callback, self.on_batch.take()) {
            (Callback::Results, Some(on_batch)) => {
                self.methods.extend(quote! {
                    #[doc = " Takes results through the rest of the stage."]
                    fn pass_on(&mut self, batch: Batch, cx: &mut StageContext) -> Result<(), TaskError> { #body }
                });
                on_batch
            }
            _ => body,
        };
        let on_watermark = (!self.on_watermark.is_empty()).then(|| {
            let body = &self.on_watermark;
            quote! {
                fn on_watermark(&mut self, watermark: i64, cx: &mut StageContext) -> Result<(), TaskError> { #body }
            }
        });
        let name = &self.name;
        let docs = description.iter().map(|line| doc_text(line));
        let (names, types, inits): (Vec<_>, Vec<_>, Vec<_>) = unzip(&self.fields);
        let (body, value) = if self.fields.is_empty() {
            (quote!(;), quote!(#name))
        } else {
            (quote!({ #(#names: #types),* }), quote!(#name { #(#names: #inits),* }))
        };
        let (types_, methods, functions, checkpoints) =
            (&self.types, &self.methods, &self.functions, &self.checkpoints);
        let methods = (!methods.is_empty()).then(|| quote!(impl #name { #methods }));
        let items = quote! {
            #(#[doc = #docs])*
            pub(crate) struct #name #body
            #types_
            #[doc = " A task's instance."]
            pub(crate) fn new() -> Box<dyn Stage> { Box::new(#value) }
            impl Stage for #name {
                fn on_batch(&mut self, batch: Batch, cx: &mut StageContext) -> Result<(), TaskError> { #on_batch }
                #on_watermark
                #checkpoints
            }
            #methods
            #functions
        };
        let imports = imports(&items);
        quote!(#imports #items)
    }
}

fn unzip<A: Clone, B: Clone, C: Clone>(all: &[(A, B, C)]) -> (Vec<A>, Vec<B>, Vec<C>) {
    let (first, rest): (Vec<A>, Vec<(B, C)>) = all.iter().cloned().map(|(a, b, c)| (a, (b, c))).unzip();
    let (second, third) = rest.into_iter().unzip();
    (first, second, third)
}

/// `use` declarations for what the items name, no more, in the order that rustfmt gives them.
fn imports(items: &TokenStream) -> TokenStream {
    let mut used = BTreeSet::new();
    collect_idents(items.clone(), &mut used);
    let mut by_parent: BTreeMap<&str, Vec<Ident>> = BTreeMap::new();
    for (name, path) in IMPORTS.iter().filter(|(name, _)| used.contains(*name)) {
        let parent = path.strip_suffix(name).and_then(|parent| parent.strip_suffix("::"));
        by_parent.entry(parent.expect("a path ends in its name")).or_default().push(ident(name));
    }
    let uses = by_parent.into_iter().map(|(parent, names)| {
        let parent = syn::parse_str::<syn::Path>(parent).expect("the table of imports has paths");
        match names.as_slice() {
            [one] => quote!(use #parent::#one;),
            names => quote!(use #parent::{#(#names),*};),
        }
    });
    quote!(#(#uses)*)
}

/// Names in the items; a module's (they are lower case) only where something in it is meant.
fn collect_idents(tokens: TokenStream, used: &mut BTreeSet<String>) {
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Ident(ident) => {
                let name = ident.to_string();
                let in_path = matches!(tokens.peek(), Some(TokenTree::Punct(punct)) if punct.as_char() == ':');
                if in_path || name.starts_with(|c: char| c.is_ascii_uppercase()) {
                    used.insert(name);
                }
            }
            TokenTree::Group(group) => collect_idents(group.stream(), used),
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
}

/// Whether a stage does anything but pass rows on.
pub(crate) fn is_generated(stage: &Stage) -> bool {
    !stage.ops.is_empty()
}

/// Whether the phase takes rows, not states.
pub(crate) fn takes_rows(phase: Phase) -> bool {
    phase != Phase::Final
}
