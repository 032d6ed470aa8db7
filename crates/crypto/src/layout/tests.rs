//! Entries that the real gateway wrote, and entries made up for every rule and every legacy form.

mod gateway;
mod kinds;
mod legacy;
mod made_up;
mod rules;
mod unlabelled;
