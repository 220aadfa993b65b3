"""Score files of rows with a deployed SavedModel: offline, in parts, by several processes."""
