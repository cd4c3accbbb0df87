//! Rust names from SQL names.
//!
//! Invariants: a name is an identifier that is no keyword, in the case that Rust's lints expect; [`Names`] never gives out
//! a name twice. Only ASCII letters and digits survive, so that the text of a name never depends on Unicode tables.

use std::collections::BTreeSet;

use proc_macro2::{Ident, Span};

/// Longest name that is made, before what makes it unique.
const NAME_CHARS: usize = 40;

/// Names that are taken in one scope of the generated code.
#[derive(Clone, Default)]
pub(crate) struct Names {
    taken: BTreeSet<String>,
}

impl Names {
    /// A scope in which generated code already uses these.
    pub(crate) fn reserving(reserved: &[&str]) -> Names {
        Names { taken: reserved.iter().map(|&name| name.to_owned()).collect() }
    }

    /// A name like `wish`, in snake case, that was not given out before.
    pub(crate) fn fresh(&mut self, wish: &str) -> Ident {
        ident(&self.unique(snake(wish)))
    }

    /// A type's name like `wish`, in camel case, that was not given out before.
    pub(crate) fn fresh_type(&mut self, wish: &str) -> Ident {
        ident(&self.unique(camel(wish)))
    }

    fn unique(&mut self, base: String) -> String {
        let mut name = base.clone();
        let mut number = 2;
        while !self.taken.insert(name.clone()) {
            name = if base.ends_with(|c: char| c.is_ascii_digit()) {
                format!("{base}_{number}")
            } else {
                format!("{base}{number}")
            };
            number += 1;
        }
        name
    }
}

pub(crate) fn ident(name: &str) -> Ident {
    Ident::new(name, Span::call_site())
}

fn snake(name: &str) -> String {
    let mut out = String::new();
    let mut after_lower = false;
    for c in name.chars() {
        if !c.is_ascii_alphanumeric() {
            if !out.is_empty() && !out.ends_with('_') {
                out.push('_');
            }
        } else {
            if c.is_ascii_uppercase() && after_lower {
                out.push('_');
            }
            out.push(c.to_ascii_lowercase());
        }
        after_lower = c.is_ascii_lowercase();
    }
    out.truncate(NAME_CHARS);
    let out = out.trim_end_matches('_');
    match out.chars().next() {
        None => "column".to_owned(),
        Some(first) if first.is_ascii_digit() => format!("_{out}"),
        Some(_) if syn::parse_str::<Ident>(out).is_err() => format!("{out}_"),
        Some(_) => out.to_owned(),
    }
}

fn camel(name: &str) -> String {
    let mut out = String::new();
    for word in snake(name).split('_') {
        let mut chars = word.chars();
        out.extend(chars.next().map(|c| c.to_ascii_uppercase()));
        out.extend(chars);
    }
    if out.starts_with(|c: char| c.is_ascii_alphabetic()) { out } else { format!("Stage{out}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sql_names_become_rust_names() {
        let cases = [
            ("price", "price"),
            ("pricePerUnit", "price_per_unit"),
            ("Total $ (net)", "total_net"),
            ("type", "type_"),
            ("self", "self_"),
            ("2nd", "_2nd"),
            ("größe", "gr_e"),
            ("", "column"),
            ("_", "column"),
        ];
        for (sql, rust) in cases {
            assert_eq!(snake(sql), rust, "{sql}");
        }
        assert_eq!(camel("bids_by_auction_2"), "BidsByAuction2");
        assert_eq!(camel("_2nd"), "Stage2nd");
    }

    #[test]
    fn names_are_given_out_once() {
        let mut names = Names::reserving(&["batch"]);
        let given: Vec<String> =
            ["batch", "n", "n", "n2", "n"].iter().map(|wish| names.fresh(wish).to_string()).collect();
        assert_eq!(given, ["batch2", "n", "n2", "n2_2", "n3"]);
    }
}
