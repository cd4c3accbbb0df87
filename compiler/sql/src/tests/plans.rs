//! What queries are lowered to.
