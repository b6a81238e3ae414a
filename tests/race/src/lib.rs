//! The race: what each way of waiting costs, measured side by side on the reader's own machine.
//!
//! - [`load`] asks, and takes the times: a client on chapter 9's loop. The book's page `race` tells its story.
//! - [`measure`] has servers run in turns, and asks them. These two need Linux.
//! - [`result`] is what was measured, as it's written down. Everything else is made of it.
//! - [`figures`] works out what is shown: the median of the rounds, the noise, who failed.
//! - [`table`] prints it, and [`pictures`] draws it. [`about`] and [`units`] have the words for both.
//! - [`agreement`] says whether several races come to the same.
//! - [`plot`] is what all curves of the book are drawn with.

pub mod about;
pub mod agreement;
pub mod figures;
// Its alarm is Linux's. What a race looks like is the same everywhere: the book draws with it.
#[cfg(target_os = "linux")]
pub mod load;
#[cfg(target_os = "linux")]
pub mod measure;
pub mod pictures;
pub mod plot;
pub mod result;
pub mod table;
pub mod units;
