"""Training pipelines: a task with its default data set, architecture and recipe."""
