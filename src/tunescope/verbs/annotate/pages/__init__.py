"""The pages of a study: templates, script and style."""
