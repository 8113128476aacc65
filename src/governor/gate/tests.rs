mod giving_back;
mod pacing;
mod scenarios;
