// A panic that aborts.
trait Load {
    fn load(&self, index: usize) -> u32;
}

struct Table<T> {
    rows: Vec<T>,
}

impl<T: Copy + Into<u32>> Load for Table<T> {
    #[inline(never)]
    fn load(&self, index: usize) -> u32 {
        self.rows[index].into() + 1
    }
}

mod deep {
    pub mod er {
        #[inline(never)]
        pub fn run(table: &dyn super::super::Load, index: usize) -> u32 {
            [index].iter().map(|i| table.load(*i) * 2).sum::<u32>() + 3
        }
    }
}

fn main() {
    let secret = std::env::args().nth(1).unwrap_or(String::from("CANARY-ON-HEAP"));
    let table = Table::<u16> { rows: vec![1, 2, 3] };
    println!("{}", deep::er::run(&table, secret.len()));
}
