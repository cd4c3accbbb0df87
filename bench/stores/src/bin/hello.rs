//! The smallest program with a store in it, to be weighed: without features it has none.

fn main() -> stores::Outcome<()> {
    println!("hello");
    // Nothing is opened without an argument, but the compiler cannot know.
    if let Some(path) = std::env::args_os().nth(1) {
        for kind in stores::kinds() {
            let mut store = (kind.open)(path.as_ref())?;
            store.put(&[(vec![1], vec![2])])?;
            let snapshot = store.snapshot()?;
            store.remove_prefix(&[1])?;
            println!("{:?}", store.get(&[vec![1]])?);
            store.remove(&[vec![1]])?;
            store.scan(&[], &mut |_, _| true)?;
            snapshot.scan(&[], &mut |_, _| true)?;
        }
    }
    Ok(())
}
