"""Model cards: what a registered version is, from the facts of the run that trained it."""
