// Eight bugs in Rust. The first argument names the bug.
use std::cell::RefCell;
use std::collections::HashMap;

struct Store {
    rows: Vec<u32>,
    names: HashMap<String, usize>,
}

impl Store {
    fn row(&self, index: usize) -> u32 {
        self.rows[index] + 1
    }

    fn find(&self, name: &str) -> usize {
        *self.names.get(name).unwrap() + 1
    }
}

fn index_out_of_bounds(store: &Store) -> u32 {
    let sum = store.row(store.rows.len() + 2);
    sum * 2
}

fn unwrap_of_none(store: &Store) -> u32 {
    let place = store.find("pear");
    place as u32 + 3
}

mod config {
    pub fn number(text: &str) -> i32 {
        text.parse::<i32>().expect("a number") + 2
    }
}

fn unexpected_error(store: &Store) -> u32 {
    let number = config::number(if store.rows.is_empty() { "1" } else { "one" });
    number as u32 * 5
}

trait Shape {
    fn area(&self) -> u32;
}

struct Square(u32);

impl Shape for Square {
    fn area(&self) -> u32 {
        if self.0 > 1 {
            panic!("no square has {}", self.0);
        }
        self.0 * self.0
    }
}

struct Line(u32);

impl Shape for Line {
    fn area(&self) -> u32 {
        self.0 - self.0
    }
}

fn panic_in_trait(store: &Store) -> u32 {
    let shapes: [Box<dyn Shape>; 2] = [Box::new(Line(4)), Box::new(Square(store.rows[1]))];
    shapes[store.rows.len() - 2].area() + 8
}

struct Account {
    history: RefCell<Vec<u32>>,
}

impl Account {
    fn replay(&self) -> u32 {
        let history = self.history.borrow();
        history.iter().map(|amount| self.book(*amount)).sum::<u32>() + 1
    }

    fn book(&self, amount: u32) -> u32 {
        self.history.borrow_mut().push(amount);
        amount + 2
    }
}

fn borrowed_twice(store: &Store) -> u32 {
    let account = Account { history: RefCell::new(store.rows.clone()) };
    account.replay() * 3
}

fn read_raw(place: *const u32) -> u32 {
    unsafe { std::ptr::read_volatile(place) + 4 }
}

fn null_pointer(store: &Store) -> u32 {
    let place = (store.names.len() * 4096) as *const u32;
    read_raw(place) * 6
}

fn cut_text(text: &str, at: usize) -> usize {
    text[at..].len() + 1
}

fn inside_of_a_character(store: &Store) -> u32 {
    cut_text("äöü", store.rows.len()) as u32 + 9
}

fn count_down(store: &Store, depth: u64) -> u64 {
    let next = unsafe { std::ptr::read_volatile(&depth) } + 1;
    if store.rows.is_empty() {
        return next;
    }
    count_down(store, next) + unsafe { std::ptr::read_volatile(&next) }
}

fn endless_count(store: &Store) -> u32 {
    count_down(store, 1) as u32 - 2
}

type Cause = (&'static str, fn(&Store) -> u32);

fn main() {
    let causes: [Cause; 8] = [
        ("index_out_of_bounds", index_out_of_bounds),
        ("unwrap_of_none", unwrap_of_none),
        ("unexpected_error", unexpected_error),
        ("panic_in_trait", panic_in_trait),
        ("borrowed_twice", borrowed_twice),
        ("null_pointer", null_pointer),
        ("inside_of_a_character", inside_of_a_character),
        ("endless_count", endless_count),
    ];
    let wanted = std::env::args().nth(1);
    let store = Store { rows: vec![1, 2, 3], names: HashMap::new() };
    for (name, run) in causes {
        match &wanted {
            Some(text) if text == name => println!("{}", run(&store)),
            Some(_) => {}
            None => println!("{}", name),
        }
    }
}
