"""Recipes by name: a file for each, whose docstring says what to expect and where that is from.

`python -m pipelines PIPELINE --recipe NAME` takes the options of `CONFIG` in place of the
pipeline's defaults; other options change them. Each file is named in the row of its pipeline.
Hardware is named as a guess from the size of network and data: none of these recipes was run to its
end in this project.
"""
