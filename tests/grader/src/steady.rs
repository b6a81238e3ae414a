//! For programs that keep something for each visitor, timer or question: when many of them are over, nothing may
//! be left of them.

use visitors::doing::{Usage, descriptors};

use crate::check::Server;

/// How many lots come before the first look: until then a program's tables and its allocator grow to their size.
const WARM_UP: usize = 2;
/// How many lots come between the two looks.
const LOTS: usize = 6;
/// How much more memory is no leak, in bytes: pages that are touched for the first time, an allocator's reserve. With
/// 8,000 visits between the looks it's 16 bytes a visit, and the smallest thing that is kept takes more.
const NO_LEAK: u64 = 128 * 1024;

impl Server<'_> {
    /// Fails if the program keeps anything of what is over. `lot` does `each` of it, such as 1,500 visits, and its argument says
    /// which lot it is. It must be over for the program too when `lot` returns: whoever left has been seen to leave.
    #[track_caller]
    pub fn keeps_nothing(&self, each: usize, what: &str, mut lot: impl FnMut(usize)) {
        let mut lots = 0..;
        let mut look_after = |count: usize| -> Option<(Usage, usize)> {
            lots.by_ref().take(count).for_each(&mut lot);
            if let Err(trouble) = self.program.settled() {
                self.check.fail_for(&format!("after many {what}"), &trouble);
            }
            Some((self.program.usage()?, descriptors(self.program.pid())?))
        };
        // Where the system can't tell, nobody can.
        let Some((before, open_before)) = look_after(WARM_UP) else { return };
        let Some((after, open_after)) = look_after(LOTS) else { return };
        let many = each * LOTS;
        if open_after > open_before {
            self.check.suspect("leaves-descriptors-open");
            self.check.fail(format!(
                "{many} {what} came and went, and your program had {open_before} descriptors open before, and {open_after} \
                 after"
            ));
        }
        let grown = |after: &Usage| after.resident.saturating_sub(before.resident);
        if grown(&after) <= NO_LEAK {
            return;
        }
        // An allocator may have taken one large step. What is kept goes on growing.
        let Some((later, _)) = look_after(LOTS) else { return };
        if grown(&later) > NO_LEAK + NO_LEAK / 2 {
            self.check.suspect("keeps-those-who-left");
            self.check.fail(format!(
                "{} {what} came and went, and your program needs {} KiB more memory than before them",
                2 * many,
                grown(&later) / 1024
            ));
        }
    }
}
