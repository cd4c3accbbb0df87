//! Whole-system tests. There is nothing in this library: the tests are the targets `sql` (text in, text out; see
//! `README.md` for how to add a case) and `tidy` (the rules of the repository).
