mod pacing;
